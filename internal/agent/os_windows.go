package agent

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
)

// On Windows a socket does not reveal the user on its other side.
var errUnsupported = errors.New("the agent is not available on Windows: its sockets do not reveal the client's user")

type page struct{ bytes []byte }

func newPage() (*page, error) { return nil, errUnsupported }
func (*page) free() error     { return nil }
func CheckPath(string) error  { return errUnsupported }

func RemoveLock(string) {}

func FolderID(string) string { return "" }

func Listen(context.Context, string) (net.Listener, error) { return nil, errUnsupported }

func dial(string) (*os.File, error) { return nil, fs.ErrNotExist }

func hangUp(*os.File) {}

func checkPeer(net.Conn, ...int) error { return errUnsupported }
