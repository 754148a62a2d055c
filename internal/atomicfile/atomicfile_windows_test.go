package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// unshared opens a file as a virus scanner may: nobody can replace it meanwhile.
func unshared(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWriteWaitsForAFileThatIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	scanner := unshared(t, path)
	written := make(chan error, 1)
	go func() { written <- Write(path, []byte("new")) }()
	for begun := false; !begun; {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		begun = len(entries) == 2 && strings.HasPrefix(entries[0].Name(), ".f.")
	}
	if err := scanner.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if got, err := Read(path, 100); err != nil || string(got) != "new" {
		t.Errorf("the file is %q, %v", got, err)
	}
	onlyFile(t, dir, "f")
}

func TestAFileThatStaysOpenIsLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	unshared(t, path)
	if err := Write(path, []byte("new")); err == nil {
		t.Error("an open file was replaced")
	}
	if got, err := Read(path, 100); err != nil || string(got) != "old" {
		t.Errorf("the file is %q, %v", got, err)
	}
	onlyFile(t, dir, "f")
}

// A file that is moved to its place is open for deletion until the move is done.
func TestReadersAreLetInDuringAMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	mover, err := windows.CreateFile(name, windows.DELETE, share, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = windows.CloseHandle(mover) }()
	if got, err := Read(path, 10); err != nil || string(got) != "new" {
		t.Errorf("Read() = %q, %v", got, err)
	}
	if got, err := ReadPublic(path, 1<<10); err != nil || string(got) != "new" {
		t.Errorf("ReadPublic() = %q, %v", got, err)
	}
	if _, err := os.ReadFile(path); err == nil {
		t.Error("os.ReadFile is let in too: ReadPublic is not needed")
	}
}

const stranger = "S-1-5-21-1-2-3-1001"

// mine is an access list as Windows gives it to what is made in a user's profile.
func mine(t *testing.T) (user, list string) {
	t.Helper()
	sid, err := currentUser()
	if err != nil {
		t.Fatal(err)
	}
	return sid.String(), "(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;" + sid.String() + ")"
}

func TestI77_AccessLists(t *testing.T) {
	user, list := mine(t)
	for _, test := range []struct {
		name, descriptor, fails, fix string
		readOnly                     bool // others may read, and change nothing
	}{
		{"inherited from the profile", "O:" + user + "D:AI" + list, "", "", false},
		{"made by an elevated program", "O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)", "", "", false},
		{"made by a service", "O:SYD:P(A;;FA;;;SY)(A;;FA;;;" + user + ")", "", "", false},
		{"installed with Windows", "O:" + sidInstaller + "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;" + sidInstaller + ")", "", "", false},
		{"an empty list", "O:" + user + "D:P", "", "", false},
		{"a creator, an owner and an app", "O:" + user + "D:P(A;OICIIO;FA;;;CO)(A;;FA;;;OW)(A;;FR;;;AC)(A;;FR;;;S-1-15-3-1024-1-2-3-4-5-6-7-8)", "", "", false},
		{"others see attributes", "O:" + user + "D:" + list + "(A;;0x1200a0;;;WD)", "", "", false},
		{"others are denied", "O:" + user + "D:(D;;FA;;;WD)" + list, "", "", false},

		{"another's", "O:" + stranger + "D:" + list, "another user", `takeown /f "C:\x"`, false},
		{"Everyone's", "O:WDD:" + list, "another user", "takeown", false},
		{"no list", "O:" + user, "no access list", "/inheritance:r", false},
		{"read by everybody", "O:" + user + "D:" + list + "(A;;FR;;;WD)", "others (S-1-1-0)", "", true},
		{"read by users, inherited", "O:" + user + "D:AI" + list + "(A;ID;0x1200a9;;;BU)", "others (S-1-5-32-545)", "", true},
		{"changed by authenticated users", "O:" + user + "D:AI" + list + "(A;OICIIOID;0x1301bf;;;AU)", "others (S-1-5-11)", "", false},
		{"read by one other", "O:" + user + "D:" + list + "(A;;0x1;;;" + stranger + ")", stranger, "", true},
		{"written by one other", "O:" + user + "D:" + list + "(A;;0x2;;;" + stranger + ")", stranger, "", false},
		{"appended to by one other", "O:" + user + "D:" + list + "(A;;0x4;;;" + stranger + ")", stranger, "", false},
		{"generic read", "O:" + user + "D:" + list + "(A;;GR;;;AN)", "S-1-5-7", "", true},
		{"generic all", "O:" + user + "D:" + list + "(A;;GA;;;BG)", "S-1-5-32-546", "", false},
		{"generic write", "O:" + user + "D:" + list + "(A;;GW;;;BU)", "S-1-5-32-545", "", false},
		{"deleted by another", "O:" + user + "D:" + list + "(A;;SD;;;" + stranger + ")", stranger, "", false},
		{"another may change the list", "O:" + user + "D:" + list + "(A;;WD;;;" + stranger + ")", stranger, "", false},
		{"another may take it", "O:" + user + "D:" + list + "(A;;WO;;;" + stranger + ")", stranger, "", false},
		{"two others", "O:" + user + "D:" + list + "(A;;FR;;;WD)(A;;FR;;;BU)", "(S-1-1-0, S-1-5-32-545)", `/remove:g "*S-1-1-0" "*S-1-5-32-545"`, true},
	} {
		descriptor, err := windows.SecurityDescriptorFromString(test.descriptor)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		err = checkDescriptor(descriptor, user, `C:\x`, false, readRights)
		if refused := errors.Is(err, ErrUnsafe); refused != (test.fails != "" && !test.readOnly) {
			t.Errorf("%s, as what others may read: %v", test.name, err)
		}
		err = checkDescriptor(descriptor, user, `C:\x`, false, harmlessRights)
		if test.fails == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		fix := test.fix
		if fix == "" {
			fix = `icacls "C:\x" /inheritance:r /grant:r "*` + user + `:F" "*S-1-5-18:F" "*S-1-5-32-544:F" /remove:g "*`
		}
		if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), test.fails) || !strings.Contains(Fix(err), fix) {
			t.Errorf("%s: %v; fix: %s", test.name, err, Fix(err))
		}
	}
}

// A list that is there and null grants everything. Wine parses no text for one.
func TestI77_NullAccessList(t *testing.T) {
	user, err := currentUser()
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := windows.NewSecurityDescriptor()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(descriptor.SetOwner(user, false), descriptor.SetDACL(nil, true, false)); err != nil {
		t.Fatal(err)
	}
	for _, allowed := range []windows.ACCESS_MASK{harmlessRights, readRights} {
		err := checkDescriptor(descriptor, user.String(), `C:\x`, false, allowed)
		if !errors.Is(err, ErrUnsafe) || !strings.Contains(Fix(err), "/inheritance:r") {
			t.Errorf("a null list: %v", err)
		}
	}
}

// tempDir is t.TempDir where os.RemoveAll may fail, as it does on Wine 8.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// What fob asks Windows for: a list of its own, with three entries.
func TestI77_NewFilesInheritNothing(t *testing.T) {
	user, _ := mine(t)
	for inheritance, isDir := range map[string]bool{"": false, "OICI": true} {
		attributes, err := privateAttributes(inheritance)
		if err != nil {
			t.Fatal(err)
		}
		descriptor := attributes.SecurityDescriptor
		control, _, err := descriptor.Control()
		if err != nil || control&windows.SE_DACL_PROTECTED == 0 {
			t.Errorf("control %x, %v: it inherits", control, err)
		}
		list, _, err := descriptor.DACL()
		if err != nil || list.AceCount != 3 {
			t.Fatalf("%s, %v", descriptor, err)
		}
		if err := checkDescriptor(descriptor, user, "x", isDir, harmlessRights); err != nil {
			t.Error(err)
		}
		if text := descriptor.String(); strings.Count(text, "(A;"+inheritance+";FA;;;") != 3 {
			t.Errorf("the list is %s", text)
		}
	}
}

func TestI77_WhatIsCreatedPassesTheCheck(t *testing.T) {
	dir := filepath.Join(tempDir(t), "a", "b")
	if err := MkdirPrivate(dir); err != nil {
		t.Fatal(err)
	}
	if err := MkdirPrivate(dir); err != nil { // that is there
		t.Error(err)
	}
	for name, create := range map[string]func(path string) error{
		"written": func(path string) error { return Write(path, []byte("x")) },
		"created": func(path string) error { return Create(path, []byte("x")) },
		"public":  func(path string) error { return WriteMode(path, []byte("x"), 0o644) },
		"touched": Touch,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(create(path), Check(path), CheckDir(filepath.Dir(dir)), CheckDir(dir)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Read(path, 10); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := MkdirAll(filepath.Join(dir, "written", "c")); err == nil {
		t.Error("a folder was made in a file")
	}
}

// setList gives a file an access list that lets others in as rights say.
func setList(t *testing.T, path, others string) {
	t.Helper()
	user, _ := mine(t)
	descriptor, err := windows.SecurityDescriptorFromString("O:" + user + "D:P(A;;FA;;;" + user + ")" + others)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := descriptor.DACL()
	if err != nil {
		t.Fatal(err)
	}
	const parts = windows.DACL_SECURITY_INFORMATION | windows.PROTECTED_DACL_SECURITY_INFORMATION
	if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, parts, nil, nil, list, nil); err != nil {
		t.Fatal(err)
	}
}

func TestI77_LooseFilesAndFoldersAreRefused(t *testing.T) {
	for _, rights := range []string{"FR", "FW", "FA"} {
		dir := filepath.Join(tempDir(t), "d")
		path := filepath.Join(dir, "f")
		if err := errors.Join(MkdirPrivate(dir), Write(path, []byte("x"))); err != nil {
			t.Fatal(err)
		}
		setList(t, path, "")
		if _, err := Read(path, 10); err != nil {
			t.Errorf("a private list: %v", err)
		}
		setList(t, path, "(A;;"+rights+";;;WD)")
		_, readErr := Read(path, 10)
		_, credentialErr := ReadCredential(path, 10)
		for name, err := range map[string]error{"Read": readErr, "ReadCredential": credentialErr, "Check": Check(path)} {
			if !errors.Is(err, ErrUnsafe) || !strings.Contains(Fix(err), `icacls "`+path+`" /inheritance:r`) {
				t.Errorf("%s of a file with %s for everybody: %v", name, rights, err)
			}
		}
		if err := errors.Join(Write(path, []byte("y")), Check(path)); err != nil { // a new file in its place
			t.Errorf("after a write: %v", err)
		}
		setList(t, dir, "(A;OICI;"+rights+";;;WD)")
		for name, err := range map[string]error{"CheckDir": CheckDir(dir), "MkdirPrivate": MkdirPrivate(dir)} {
			if !errors.Is(err, ErrUnsafe) || !strings.Contains(Fix(err), ":(OI)(CI)F") {
				t.Errorf("%s of a folder with %s for everybody: %v", name, rights, err)
			}
		}
		if err := errors.Join(Write(path, []byte("z")), Check(path)); err != nil { // it inherits nothing
			t.Errorf("a file in a loose folder: %v", err)
		}
	}
}

// What others may read is obeyed; what they may write is not.
func TestI74_WrittenByOthers(t *testing.T) {
	dir := filepath.Join(tempDir(t), "d")
	path := filepath.Join(dir, "f")
	if err := errors.Join(MkdirPrivate(dir), Write(path, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, rights string
		refused      bool
	}{{path, "", false}, {path, "(A;;FR;;;WD)", false}, {path, "(A;;FW;;;WD)", true}, {dir, "(A;;FRFX;;;WD)", false}, {dir, "(A;OICI;FA;;;WD)", true}} {
		setList(t, test.path, test.rights)
		info, err := os.Stat(test.path)
		if err != nil {
			t.Fatal(err)
		}
		errs := map[string]error{"CheckOthers": CheckOthers(test.path, info)}
		if test.path == path {
			_, errs["ReadOwn"] = ReadOwn(path, 10)
		}
		for name, err := range errs {
			var others *OthersError
			refused := errors.As(err, &others) && strings.Contains(err.Error(), "can be written by others (S-1-1-0)") && strings.HasPrefix(Fix(err), `icacls "`+test.path+`"`)
			if refused != test.refused || !refused && err != nil {
				t.Errorf("%s of %s with %s: %v; fix: %s", name, test.path, test.rights, err, Fix(err))
			}
		}
		if target, err := CheckLinks(test.path); err != nil || target != test.path {
			t.Errorf("CheckLinks: %s, %v", target, err)
		}
		setList(t, test.path, "")
	}
}
