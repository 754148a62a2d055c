package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// openNoFollow opens a link itself, which Read then refuses.
func openNoFollow(path string) (*os.File, error) {
	return openShared(path, windows.GENERIC_READ, windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

func openFollow(path string) (*os.File, error) {
	return openShared(path, windows.GENERIC_READ, windows.FILE_ATTRIBUTE_NORMAL)
}

func openNonblocking(path string) (*os.File, error) { return openFollow(path) }

// openShared opens a file so that other processes can replace it meanwhile: Windows does
// not allow that with os.Open.
func openShared(path string, access, flags uint32) (*os.File, error) {
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	return create(path, access, share, nil, windows.OPEN_EXISTING, flags)
}

func create(path string, access, share uint32, attributes *windows.SecurityAttributes, disposition, flags uint32) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	handle, err := windows.CreateFile(name, access, share, attributes, disposition, flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(handle), path), nil
}

// renameNew is a rename that does not replace. Unlike hard links, all file systems support
// it. The path is as safe as a handle: Windows does not move a folder or its parents while
// such a handle is open.
func renameNew(dir *os.Root, temp, name string) error {
	from, err := windows.UTF16PtrFromString(filepath.Join(dir.Name(), temp))
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(filepath.Join(dir.Name(), name))
	if err != nil {
		return err
	}
	return retryRename(func() error { return windows.MoveFileEx(from, to, windows.MOVEFILE_WRITE_THROUGH) })
}

func rename(dir *os.Root, temp, name string) error {
	return retryRename(func() error { return dir.Rename(temp, name) })
}

const renameWait, renameRetry = time.Second, 5 * time.Millisecond

// retryRename retries a rename while another process has one of the files open: virus
// scanners and indexers open new files for a moment, and file systems without POSIX renames
// do not replace a file that is being read.
func retryRename(rename func() error) error {
	deadline := time.After(renameWait)
	for {
		err := rename()
		if !errors.Is(err, windows.ERROR_ACCESS_DENIED) && !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			return err
		}
		select {
		case <-deadline:
			return err
		case <-time.After(renameRetry):
		}
	}
}

// remove avoids os.Root's method, which uses a call that Wine 8 lacks.
func remove(dir *os.Root, name string) error { return os.Remove(filepath.Join(dir.Name(), name)) }

// syncDir does nothing: Windows cannot sync a folder.
func syncDir(*os.Root) error { return nil }

func checkCredential(f *os.File, path string, info fs.FileInfo) error {
	return checkFile(f, path, info)
}

func setOwner(_, _ *os.File) error { return nil }

const (
	sidSystem, sidAdministrators = "S-1-5-18", "S-1-5-32-544"

	// sidInstaller owns what Windows itself installs, such as C:\ and C:\Program Files.
	sidInstaller = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"

	// harmlessRights are the rights that neither reveal nor change what is in a file or folder.
	harmlessRights = windows.READ_CONTROL | windows.SYNCHRONIZE | windows.FILE_READ_ATTRIBUTES | windows.FILE_READ_EA |
		windows.FILE_EXECUTE | windows.GENERIC_EXECUTE

	readRights = harmlessRights | windows.FILE_READ_DATA | windows.GENERIC_READ
)

func currentUser() (*windows.SID, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("looking up the current user: %w", err)
	}
	return user.User.Sid, nil
}

// privateAttributes are those of a file or folder that only this user, SYSTEM and the
// administrators can access. It inherits nothing; files created in such a folder inherit
// the same list.
func privateAttributes(inheritance string) (*windows.SecurityAttributes, error) {
	user, err := currentUser()
	if err != nil {
		return nil, err
	}
	descriptor, err := windows.SecurityDescriptorFromString(fmt.Sprintf("O:%[1]sD:P(A;%[2]s;FA;;;%[1]s)(A;%[2]s;FA;;;SY)(A;%[2]s;FA;;;BA)", user, inheritance))
	if err != nil {
		return nil, fmt.Errorf("building an access list: %w", err)
	}
	return &windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: descriptor}, nil
}

// createNew creates a private file for writing: it never exists with another access list.
func createNew(dir *os.Root, name string) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	attributes, err := privateAttributes("")
	if err != nil {
		return nil, err
	}
	const flags = windows.FILE_ATTRIBUTE_NORMAL | windows.FILE_FLAG_OPEN_REPARSE_POINT
	return create(path, windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, attributes, windows.CREATE_NEW, flags)
}

// MkdirAll creates a private folder and its missing parents, also private.
func MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	attributes, err := privateAttributes("OICI")
	if err != nil {
		return err
	}
	err = windows.CreateDirectory(name, attributes)
	if info, statErr := os.Lstat(dir); err != nil && (statErr != nil || !info.IsDir()) { // else another process was first
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}

// checkOwner rejects files that other users own or have access to. For a folder, that
// includes reading, because files that SQLite creates in it inherit its list.
func checkOwner(f *os.File, path string, info fs.FileInfo, _ fs.FileMode) error {
	return checkAccess(f, path, info, harmlessRights)
}

// checkOthers is the check of ReadOwn: others may read. For a folder, the list that new
// files inherit counts.
func checkOthers(f *os.File, path string, info fs.FileInfo) error {
	err := checkAccess(f, path, info, readRights)
	var unsafe *unsafeError
	if !errors.As(err, &unsafe) {
		return err
	}
	return &OthersError{Path: path, Mode: info.Mode(), list: unsafe}
}

// checkAccess checks an open file, or else what is at a path: the link itself if info is
// that of a link.
func checkAccess(f *os.File, path string, info fs.FileInfo, allowed windows.ACCESS_MASK) error {
	if f == nil {
		flags := uint32(windows.FILE_FLAG_BACKUP_SEMANTICS) // folders too
		if isLink(info.Mode()) {
			flags |= windows.FILE_FLAG_OPEN_REPARSE_POINT
		}
		var err error
		if f, err = openShared(path, windows.READ_CONTROL, flags); err != nil {
			return err
		}
		defer f.Close()
	}
	const parts = windows.OWNER_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION
	descriptor, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, parts)
	if err != nil {
		return fmt.Errorf("reading the access list of %s: %w", path, err)
	}
	user, err := currentUser()
	if err != nil {
		return err
	}
	return checkDescriptor(descriptor, user.String(), path, info.IsDir(), allowed)
}

// checkDescriptor rejects an owner who is not trusted, and a list that grants anyone else
// who is not trusted more than the allowed rights.
func checkDescriptor(descriptor *windows.SECURITY_DESCRIPTOR, user, path string, isDir bool, allowed windows.ACCESS_MASK) error {
	owner, _, err := descriptor.Owner()
	if err != nil || owner == nil || !slices.Contains([]string{user, sidSystem, sidAdministrators, sidInstaller}, owner.String()) {
		return &unsafeError{path + " belongs to another user", `takeown /f "` + path + `"`}
	}
	// A missing list, unlike an empty one, grants everyone full access.
	list, _, err := descriptor.DACL()
	if err != nil || list == nil {
		return &unsafeError{path + " is open to everybody (no access list)", makePrivate(path, user, nil, isDir)}
	}
	var others []string
	for i := range uint32(list.AceCount) {
		var entry *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &entry); err != nil {
			return fmt.Errorf("reading the access list of %s: %w", path, err)
		}
		kind := entry.Header.AceType
		if kind == windows.ACCESS_DENIED_ACE_TYPE || kind == windows.ACCESS_ALLOWED_ACE_TYPE && entry.Mask&^allowed == 0 {
			continue
		}
		if kind != windows.ACCESS_ALLOWED_ACE_TYPE {
			return &unsafeError{path + " has an access list with conditions", `icacls "` + path + `" /reset`}
		}
		if sid := (*windows.SID)(unsafe.Pointer(&entry.SidStart)).String(); !isTrusted(sid, user) {
			others = append(others, sid)
		}
	}
	if len(others) > 0 {
		open := "is open to others"
		if allowed == readRights {
			open = "can be written by others"
		}
		return &unsafeError{fmt.Sprintf("%s %s (%s)", path, open, strings.Join(others, ", ")), makePrivate(path, user, others, isDir)}
	}
	return nil
}

// isTrusted reports whether a SID is the user, an account that can read every file anyway, or
// a placeholder for the file's creator (S-1-3-0) or owner (S-1-3-4). Grants to an app
// container (S-1-15-…) only apply if the user has the same right.
func isTrusted(sid, user string) bool {
	return slices.Contains([]string{user, sidSystem, sidAdministrators, sidInstaller, "S-1-3-0", "S-1-3-4"}, sid) || strings.HasPrefix(sid, "S-1-15-")
}

// makePrivate returns the command that sets the access list of fob's new files. SIDs work
// in every language of Windows.
func makePrivate(path, user string, others []string, isDir bool) string {
	right := ":F"
	if isDir {
		right = ":(OI)(CI)F"
	}
	command := fmt.Sprintf(`icacls "%s" /inheritance:r /grant:r "*%s%s" "*%s%s" "*%s%s"`, path, user, right, sidSystem, right, sidAdministrators, right)
	if len(others) > 0 {
		command += ` /remove:g "*` + strings.Join(others, `" "*`) + `"`
	}
	return command
}
