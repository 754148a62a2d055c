package credstore

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// A Secret Service of a few lines on a bus of its own, which does what a test
// cannot make a real keyring do: prompts that nobody answers or that are
// dismissed, and writes that do not happen. The real one is in testdata/e2e.

const (
	ssBase       = "org.freedesktop.Secret."
	ssService    = dbus.ObjectPath("/org/freedesktop/secrets")
	ssCollection = dbus.ObjectPath("/org/freedesktop/secrets/collection/login")
	ssOther      = dbus.ObjectPath("/org/freedesktop/secrets/collection/passwords")
	ssPrompt     = dbus.ObjectPath("/org/freedesktop/secrets/prompt/1")
)

type ssSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

type fakeSecretService struct {
	bus *dbus.Conn

	mu      sync.Mutex // guards all below
	items   map[string][]byte
	Locked  bool
	hides   bool // whether a locked collection shows no items
	none    bool // whether there is no collection at all
	answer  bool // whether the prompt to unlock is ever answered: with "dismissed"
	dismiss bool // whether writes prompt, and the prompt is dismissed
	prompts int
	refuses bool     // whether Unlock unlocks nothing, and does not prompt
	calls   []string // the methods that were called

	lockedItems map[string]bool   // by name; one prompt unlocks all that it is asked for
	asked       []dbus.ObjectPath // what the open prompt unlocks
	other       bool              // whether the default collection is not "login"
	duplicates  bool              // whether CreateItem adds an item instead of replacing one
}

var ssLockedError = dbus.NewError(ssBase+"Error.IsLocked", nil)

// privateBus starts a D-Bus daemon without any service and points the process's
// environment at it.
func privateBus(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(conf, []byte(`<busconfig><type>session</type><listen>unix:dir=`+dir+`</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("dbus-daemon", "--nofork", "--print-address", "--config-file="+conf)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal("Debian's package dbus is needed: ", err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
	t.Setenv("XDG_RUNTIME_DIR", dir)
}

func startSecretService(t *testing.T) *fakeSecretService {
	t.Helper()
	privateBus(t)
	f := &fakeSecretService{}
	bus, err := dbus.ConnectSessionBus(dbus.WithIncomingInterceptor(f.record))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	f.bus, f.items = bus, map[string][]byte{}
	for _, object := range []struct {
		methods map[string]any
		path    dbus.ObjectPath
		name    string
	}{
		{map[string]any{"OpenSession": f.openSession, "Unlock": f.unlock, "ReadAlias": f.alias, "SearchItems": f.search}, ssService, ssBase + "Service"},
		{map[string]any{"Get": f.property}, ssCollection, "org.freedesktop.DBus.Properties"},
		{map[string]any{"CreateItem": f.create}, ssCollection, ssBase + "Collection"},
		{map[string]any{"CreateItem": f.create}, ssOther, ssBase + "Collection"},
		{map[string]any{"Get": f.property}, ssOther, "org.freedesktop.DBus.Properties"},
		{map[string]any{"Prompt": f.prompt}, ssPrompt, ssBase + "Prompt"},
		{map[string]any{"Close": func() *dbus.Error { return nil }}, ssService + "/session", ssBase + "Session"},
	} {
		if err := bus.ExportMethodTable(object.methods, object.path, object.name); err != nil {
			t.Fatal(err)
		}
	}
	for _, collection := range []dbus.ObjectPath{ssCollection, ssOther} {
		if err := bus.ExportSubtreeMethodTable(map[string]any{"GetSecret": f.secret, "SetSecret": f.setSecret, "Delete": f.remove}, collection, ssBase+"Item"); err != nil {
			t.Fatal(err)
		}
	}
	if reply, err := bus.RequestName("org.freedesktop.secrets", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("owning the name: %v, %v", reply, err)
	}
	return f
}

// record notes a method that is called.
func (f *fakeSecretService) record(message *dbus.Message) {
	if method, _ := message.Headers[dbus.FieldMember].Value().(string); message.Type == dbus.TypeMethodCall {
		f.set(func() { f.calls = append(f.calls, method) })
	}
}

func (f *fakeSecretService) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeSecretService) openSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), ssService + "/session", nil
}

func (f *fakeSecretService) property(_, _ string) (dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.none {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownMethod", nil)
	}
	return dbus.MakeVariant(f.Locked), nil
}

func (f *fakeSecretService) unlock(paths []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.none || f.refuses:
		return nil, "/", nil
	case f.Locked:
		return nil, ssPrompt, nil
	case slices.ContainsFunc(paths, func(path dbus.ObjectPath) bool { return f.lockedItems[string(path)] }):
		f.asked = paths
		return nil, ssPrompt, nil
	}
	return paths, "/", nil
}

func (f *fakeSecretService) alias(string) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.none {
		return "/", nil
	}
	if f.other {
		return ssOther, nil
	}
	return ssCollection, nil
}

func ssItemName(attributes map[string]string) string {
	return strings.NewReplacer("/", "_", "-", "_").Replace(attributes["username"])
}

func (f *fakeSecretService) search(attributes map[string]string) (unlocked, locked []dbus.ObjectPath, _ *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Locked && f.hides {
		return nil, nil, nil
	}
	for item := range f.items {
		switch name := strings.TrimRight(item, "+"); {
		case attributes["username"] != "" && !strings.HasSuffix(name, "/"+ssItemName(attributes)):
		case f.Locked || f.lockedItems[item]:
			locked = append(locked, dbus.ObjectPath(strings.ReplaceAll(item, "+", "_dup")))
		default:
			unlocked = append(unlocked, dbus.ObjectPath(strings.ReplaceAll(item, "+", "_dup")))
		}
	}
	return unlocked, locked, nil
}

func (f *fakeSecretService) create(message dbus.Message, properties map[string]dbus.Variant, secret ssSecret, _ bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dismiss {
		return "/", ssPrompt, nil
	}
	attributes, _ := properties[ssBase+"Item.Attributes"].Value().(map[string]string)
	name := f.named(message) + "/" + ssItemName(attributes)
	f.items[name] = secret.Value
	if f.duplicates {
		f.items[name+"+"] = secret.Value
	}
	return dbus.ObjectPath(name), "/", nil
}

func (f *fakeSecretService) secret(message dbus.Message, session dbus.ObjectPath) (ssSecret, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name := f.named(message); f.Locked || f.lockedItems[name] {
		return ssSecret{}, ssLockedError
	}
	return ssSecret{Session: session, Value: f.items[f.named(message)], ContentType: "text/plain"}, nil
}

func (f *fakeSecretService) setSecret(message dbus.Message, secret ssSecret) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch name := f.named(message); {
	case f.Locked || f.lockedItems[name]:
		return ssLockedError
	case !f.dismiss:
		f.items[name] = secret.Value
	}
	return nil
}

func (f *fakeSecretService) remove(message dbus.Message) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dismiss {
		return ssPrompt, nil
	}
	delete(f.items, f.named(message))
	return "/", nil
}

func (f *fakeSecretService) named(message dbus.Message) string {
	path, _ := message.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	return strings.ReplaceAll(string(path), "_dup", "+")
}

// unlockNow is a person who answers the prompt that is open.
func (f *fakeSecretService) unlockNow() {
	f.set(func() { f.Locked = false })
	_ = f.bus.Emit(ssPrompt, ssBase+"Prompt.Completed", false, dbus.MakeVariant([]dbus.ObjectPath{ssCollection}))
}

func (f *fakeSecretService) prompt(string) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prompts++
	if f.asked != nil {
		for _, path := range f.asked {
			delete(f.lockedItems, string(path))
		}
		go func() { _ = f.bus.Emit(ssPrompt, ssBase+"Prompt.Completed", false, dbus.MakeVariant(f.asked)) }()
	}
	if f.answer || f.dismiss {
		go func() {
			_ = f.bus.Emit(ssPrompt, ssBase+"Prompt.Completed", true, dbus.MakeVariant([]dbus.ObjectPath{}))
		}()
	}
	return nil
}
