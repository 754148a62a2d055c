package credstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// osKeyring is the Secret Service. After authentication to the bus, an item is read in three
// round trips: open a session, search, get the secret.
type osKeyring struct {
	getenv    func(string) string
	*bus                      // nil until the first call, and after an error
	session   dbus.ObjectPath // for all items
	prompting bool
}

func newOSKeyring(getenv func(string) string) *osKeyring { return &osKeyring{getenv: getenv} }

const (
	secretService = "org.freedesktop.secrets"
	servicePath   = dbus.ObjectPath("/org/freedesktop/secrets")
	nullPath      = dbus.ObjectPath("/") // the Secret Service's null value

	serviceMethod = "org.freedesktop.Secret.Service."
	itemMethod    = "org.freedesktop.Secret.Item."
	collection    = "org.freedesktop.Secret.Collection"
	prompt        = "org.freedesktop.Secret.Prompt"
)

// serviceSecret is a secret as the Secret Service transfers it. On the user's own bus, it is
// not encrypted.
type serviceSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

// address returns the address of the session bus, without starting one.
func (k *osKeyring) address() (string, error) {
	address := k.getenv("DBUS_SESSION_BUS_ADDRESS")
	if address != "" && !strings.HasPrefix(address, "autolaunch:") {
		return address, nil
	}
	runtimeDir := k.getenv("XDG_RUNTIME_DIR")
	if runtimeDir == "" {
		runtimeDir = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	socket := filepath.Join(runtimeDir, "bus")
	if info, err := os.Stat(socket); err == nil && info.Mode()&os.ModeSocket != 0 {
		return "unix:path=" + dbus.EscapeBusAddressValue(socket), nil
	}
	return "", fmt.Errorf("%w: this session has no D-Bus", ErrAbsent)
}

func (k *osKeyring) reachable() error {
	_, err := k.address()
	return err
}

// each closes the connection after an error: the service may have been restarted, or respond
// later.
func (k *osKeyring) each(p *patience, n int, do func(i int) error) error {
	isNew := k.bus == nil
	if isNew {
		address, err := k.address()
		if err == nil {
			k.bus, err = dialBus(address)
		}
		if err != nil {
			return explain(err)
		}
	}
	bus := k.bus
	defer context.AfterFunc(p.ctx, func() { _ = bus.SetDeadline(time.Unix(1, 0)) })()
	k.onTimeout = func() error {
		more, err := p.more(k.asking)
		_ = k.SetDeadline(time.Now().Add(more))
		return cmp.Or(err, p.ctx.Err())
	}
	var err error
	for i := 0; i < n && err == nil; i++ {
		_ = k.SetDeadline(time.Now().Add(p.next()))
		if err = p.ctx.Err(); err == nil && isNew && i == 0 {
			err = k.start()
		}
		if err == nil {
			err = do(i)
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		_ = k.Close()
		k.bus = nil
	}
	return explain(err)
}

// start opens a session. The first search has to wait for it: KeePassXC asks the bus who sends
// the first message, and crashes if another one arrives in the meantime.
func (k *osKeyring) start() error {
	if err := k.authenticate(); err != nil {
		return err
	}
	var output dbus.Variant
	return k.wait(k.send(servicePath, serviceMethod+"OpenSession", "plain", dbus.MakeVariant("")), &output, &k.session)
}

// defaultCollection returns the default collection, or else "login", and whether it is locked.
func (k *osKeyring) defaultCollection() (path dbus.ObjectPath, locked bool, err error) {
	if err := k.wait(k.send(servicePath, serviceMethod+"ReadAlias", "default"), &path); err != nil {
		return "", false, err
	}
	if path == nullPath {
		path = servicePath + "/collection/login"
	}
	err = k.wait(k.send(path, "org.freedesktop.DBus.Properties.Get", collection, "Locked"), &locked)
	if _, ok := errors.AsType[dbus.Error](err); ok {
		err = fmt.Errorf("%w: the keyring service has no default keyring", ErrAbsent)
	}
	return path, locked, err
}

func attributes(account string) map[string]string {
	return map[string]string{"service": serviceName, "username": account}
}

// search searches all collections, but a locked one may show no items.
func (k *osKeyring) search(attributes map[string]string) (unlocked, locked []dbus.ObjectPath, err error) {
	err = k.wait(k.send(servicePath, serviceMethod+"SearchItems", attributes), &unlocked, &locked)
	return unlocked, locked, err
}

// find returns all unlocked items of an account, the valid one first: some services add items
// instead of replacing them.
func (k *osKeyring) find(account string) ([]dbus.ObjectPath, error) {
	items, locked, err := k.search(attributes(account))
	if err != nil || len(items) == 1 {
		return items, err
	}
	first, hidden, err := k.defaultCollection()
	if err != nil {
		return nil, err
	}
	if len(items)+len(locked) == 0 && hidden {
		unlocked, err := k.unlock(first)
		if err == nil && !slices.Contains(unlocked, first) {
			err = ErrLocked
		}
		if err == nil {
			items, locked, err = k.search(attributes(account))
		}
		if err != nil {
			return nil, err
		}
	}
	if len(items) == 0 && len(locked) > 0 { // unlock all of fob's items at once, so that the user is asked once
		_, all, err := k.search(map[string]string{"service": serviceName})
		if err == nil {
			_, err = k.unlock(all...)
		}
		if err != nil {
			return nil, err
		}
		items = locked
	}
	if len(items) == 0 {
		return nil, ErrNotFound
	}
	slices.Sort(items)
	if i := slices.IndexFunc(items, func(item dbus.ObjectPath) bool { return strings.HasPrefix(string(item), string(first)+"/") }); i > 0 {
		items[0], items[i] = items[i], items[0]
	}
	return items, nil
}

// unlock returns what is unlocked afterwards.
func (k *osKeyring) unlock(paths ...dbus.ObjectPath) (unlocked []dbus.ObjectPath, err error) {
	var path dbus.ObjectPath
	err = k.wait(k.send(servicePath, serviceMethod+"Unlock", paths), &unlocked, &path)
	if err != nil || path == nullPath {
		return unlocked, err
	}
	result, err := k.prompt(path)
	var dismissed bool
	var more dbus.Variant
	if err == nil && (dbus.Store(result, &dismissed, &more) != nil || dismissed) {
		err = ErrLocked
	}
	also, _ := more.Value().([]dbus.ObjectPath)
	return append(unlocked, also...), err
}

// prompt shows a prompt, and returns its result.
func (k *osKeyring) prompt(path dbus.ObjectPath) ([]any, error) {
	k.prompting = true
	defer func() { k.prompting = false }()
	k.signal = nil
	k.send(busPath, busName+".AddMatch", "type='signal',interface='"+prompt+"',path='"+string(path)+"'")
	err := k.wait(k.send(path, prompt+".Prompt", ""))
	for err == nil && (k.signal == nil || k.signal.Headers[dbus.FieldPath].Value() != path || k.signal.Headers[dbus.FieldMember].Value() != "Completed") {
		err = k.receive()
	}
	if err != nil {
		return nil, err
	}
	return k.signal.Body, nil
}

func (k *osKeyring) get(account string) (string, error) {
	items, err := k.find(account)
	if err != nil {
		return "", err
	}
	var secret serviceSecret
	err = k.wait(k.send(items[0], itemMethod+"GetSecret", k.session), &secret)
	return string(secret.Value), err
}

// set writes to an existing item: some services add a second one instead of replacing it.
func (k *osKeyring) set(account, value string) error {
	items, err := k.find(account)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	secret := serviceSecret{k.session, nil, []byte(value), "text/plain; charset=utf8"}
	if len(items) > 0 {
		err := k.wait(k.send(items[0], itemMethod+"SetSecret", secret))
		return errors.Join(err, k.deleteItems(items[1:]))
	}
	path, _, err := k.defaultCollection()
	if err != nil {
		return err
	}
	return k.confirm(k.send(path, collection+".CreateItem", map[string]dbus.Variant{
		itemMethod + "Label":      dbus.MakeVariant("Password for '" + account + "' on '" + serviceName + "'"), // as older versions
		itemMethod + "Attributes": dbus.MakeVariant(attributes(account)),
	}, secret, true), &path)
}

func (k *osKeyring) delete(account string) error {
	items, err := k.find(account)
	if err != nil {
		return err
	}
	return k.deleteItems(items)
}

func (k *osKeyring) deleteItems(items []dbus.ObjectPath) error {
	for _, item := range items {
		if err := k.confirm(k.send(item, itemMethod+"Delete")); err != nil {
			return err
		}
	}
	return nil
}

// confirm waits for a change and shows its prompt. If the user dismisses that, it shows when
// the item is read back.
func (k *osKeyring) confirm(call uint32, values ...any) error {
	var path dbus.ObjectPath
	err := k.wait(call, append(values, &path)...)
	if err == nil && path != nullPath {
		_, err = k.prompt(path)
	}
	return err
}

// explain converts errors of D-Bus and the keyring to errors of this package.
func explain(err error) error {
	known := []error{nil, ErrNotFound, ErrAbsent, ErrLocked, ErrTimeout, context.Canceled, context.DeadlineExceeded}
	busError, _ := errors.AsType[dbus.Error](err)
	netError, _ := errors.AsType[*net.OpError](err)
	switch {
	case slices.ContainsFunc(known, func(e error) bool { return errors.Is(err, e) }):
		return err
	case netError != nil && netError.Timeout():
		return ErrTimeout
	case netError != nil, strings.HasPrefix(busError.Name, busName+".Error.Spawn."),
		busError.Name == busName+".Error.ServiceUnknown", busError.Name == busName+".Error.NameHasNoOwner":
		return fmt.Errorf("%w (%w)", ErrAbsent, err)
	case busError.Name == "org.freedesktop.Secret.Error.IsLocked":
		return ErrLocked
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

// asking reports whether there is a prompt, or the default collection is locked. It never
// prompts, and uses another connection, because a call may be waiting in this one.
func (k *osKeyring) asking() (locked bool) {
	if k.prompting {
		return true
	}
	ctx, stop := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer stop()
	other := newOSKeyring(k.getenv)
	_ = other.each(&patience{ctx: ctx, slow: time.Minute, timeoutErr: ErrTimeout, wait: time.Minute}, 1, func(int) (err error) {
		_, locked, err = other.defaultCollection()
		return cmp.Or(err, ErrTimeout) // which closes the connection
	})
	return locked
}
