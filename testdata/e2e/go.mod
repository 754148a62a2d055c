module github.com/fobcli/fob/testdata/e2e

go 1.26
