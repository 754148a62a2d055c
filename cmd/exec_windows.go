package cmd

import "errors"

// canReplaceProcess: a Windows process cannot become another.
const canReplaceProcess = false

func replaceProcess(string, []string, []string) error { return errors.ErrUnsupported }
