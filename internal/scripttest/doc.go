// Package scripttest has the tests of fob as a whole: the scripts in testdata/script,
// and checks of the repository's own files. They run in the module's root folder.
package scripttest
