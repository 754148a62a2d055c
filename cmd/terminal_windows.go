package cmd

import "os"

// forgetTyped has no meaning here: only an agent asks again and again.
func forgetTyped(*os.File) {}

func openTerminal() (*os.File, error) { return os.OpenFile("CONIN$", os.O_RDWR, 0) }
