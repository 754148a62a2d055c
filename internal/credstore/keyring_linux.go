package credstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/zalando/go-keyring"
	ss "github.com/zalando/go-keyring/secret_service"
)

// askWait bounds the queries of the keyring's state.
const askWait = 500 * time.Millisecond

// reachable looks for a session bus. Without an address, godbus would start a new bus with
// dbus-launch. It does not look into XDG_RUNTIME_DIR, so the bus found there is passed to
// it.
func (k osKeyring) reachable() error {
	address := k.getenv("DBUS_SESSION_BUS_ADDRESS")
	if address != "" && !strings.HasPrefix(address, "autolaunch:") {
		return nil
	}
	runtimeDir := k.getenv("XDG_RUNTIME_DIR")
	if runtimeDir == "" {
		runtimeDir = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	socket := filepath.Join(runtimeDir, "bus")
	if info, err := os.Stat(socket); err == nil && info.Mode()&os.ModeSocket != 0 {
		return os.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+dbus.EscapeBusAddressValue(socket))
	}
	return fmt.Errorf("%w: this session has no D-Bus", ErrAbsent)
}

// serviceSession is a session with the Secret Service for several items; go-keyring would
// open one for each.
type serviceSession struct {
	svc         *ss.SecretService
	session     dbus.BusObject
	collections []dbus.BusObject // the default one, then "login", where older versions wrote
	prompting   *atomic.Bool
}

func (k osKeyring) session() (keyringSession, error) {
	svc, err := ss.NewSecretService()
	if err != nil {
		return nil, err
	}
	session, err := svc.OpenSession()
	if err != nil {
		return nil, err
	}
	s := &serviceSession{svc: svc, session: session, prompting: k.prompting}
	path := dbus.ObjectPath("/") // the Secret Service's null value
	_ = svc.Object(secretService, secretServicePath).Call("org.freedesktop.Secret.Service.ReadAlias", 0, "default").Store(&path)
	if path == "/" {
		s.collections = []dbus.BusObject{svc.GetLoginCollection()}
		return s, nil
	}
	s.collections = []dbus.BusObject{svc.Object(secretService, path)}
	if path != loginCollection && svc.CheckCollectionPath(loginCollection) == nil {
		s.collections = append(s.collections, svc.Object(secretService, loginCollection))
	}
	return s, nil
}

func attributes(account string) map[string]string {
	return map[string]string{"service": serviceName, "username": account}
}

// find returns all items with these attributes. A locked collection may show none.
func (s *serviceSession) find(attributes map[string]string) (items []dbus.ObjectPath, err error) {
	for _, unlock := range []bool{false, true} {
		for _, collection := range s.collections {
			if unlock {
				if err := s.svc.Unlock(collection.Path()); err != nil {
					return nil, err
				}
			}
			found, err := s.svc.SearchItems(collection, attributes)
			if err != nil {
				return nil, err
			}
			items = append(items, found...)
		}
		if len(items) > 0 {
			return items, nil
		}
	}
	return nil, keyring.ErrNotFound
}

// unlocked calls do, and once more after unlocking single items: all of fob's at once, so
// that the user is asked once.
func (s *serviceSession) unlocked(do func() error) error {
	err := do()
	if busError, ok := errors.AsType[dbus.Error](err); !ok || busError.Name != "org.freedesktop.Secret.Error.IsLocked" {
		return err
	}
	items, err := s.find(map[string]string{"service": serviceName})
	if err != nil {
		return err
	}
	var already []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := s.svc.Object(secretService, secretServicePath).Call("org.freedesktop.Secret.Service.Unlock", 0, items).Store(&already, &prompt); err != nil {
		return err
	}
	if prompt != "/" {
		if err := s.prompt(prompt); err != nil {
			return err
		}
	}
	return do()
}

func (s *serviceSession) prompt(path dbus.ObjectPath) error {
	const prompt = "org.freedesktop.Secret.Prompt"
	s.prompting.Store(true)
	defer s.prompting.Store(false)
	match := []dbus.MatchOption{dbus.WithMatchObjectPath(path), dbus.WithMatchInterface(prompt)}
	if err := s.svc.AddMatchSignal(match...); err != nil {
		return err
	}
	defer func() { _ = s.svc.RemoveMatchSignal(match...) }()
	signals := make(chan *dbus.Signal, 8)
	s.svc.Signal(signals)
	defer s.svc.RemoveSignal(signals)
	if err := s.svc.Object(secretService, path).Call(prompt+".Prompt", 0, "").Err; err != nil {
		return err
	}
	for signal := range signals {
		if signal.Path == path && signal.Name == prompt+".Completed" && len(signal.Body) > 0 {
			if dismissed, _ := signal.Body[0].(bool); dismissed {
				return ErrLocked
			}
			return nil
		}
	}
	return ErrRefused // the bus is gone
}

func (s *serviceSession) get(account string) (value string, err error) {
	items, err := s.find(attributes(account))
	if err != nil {
		return "", err
	}
	err = s.unlocked(func() error {
		secret, err := s.svc.GetSecret(items[0], s.session.Path())
		if err == nil {
			value = string(secret.Value)
		}
		return err
	})
	return value, err
}

// set writes to an existing item: some services add a second one instead of replacing it.
func (s *serviceSession) set(account, value string) error {
	secret := ss.NewSecret(s.session.Path(), value)
	items, err := s.find(attributes(account))
	if errors.Is(err, keyring.ErrNotFound) {
		label := "Password for '" + account + "' on '" + serviceName + "'" // the label that go-keyring uses
		return s.svc.CreateItem(s.collections[0], label, attributes(account), secret)
	}
	if err != nil {
		return err
	}
	err = s.unlocked(func() error {
		return s.svc.Object(secretService, items[0]).Call("org.freedesktop.Secret.Item.SetSecret", 0, secret).Err
	})
	return errors.Join(err, s.deleteItems(items[1:]))
}

func (s *serviceSession) delete(account string) error {
	items, err := s.find(attributes(account))
	if err != nil {
		return err
	}
	return s.deleteItems(items)
}

func (s *serviceSession) deleteItems(items []dbus.ObjectPath) error {
	for _, item := range items {
		if err := s.unlocked(func() error { return s.svc.Delete(item) }); err != nil {
			return err
		}
	}
	return nil
}

// isAbsent reports whether an error means that there is no bus, or no Secret Service on it.
func isAbsent(err error) bool {
	if busError, ok := errors.AsType[dbus.Error](err); ok {
		return strings.HasPrefix(busError.Name, "org.freedesktop.DBus.Error.Spawn.") ||
			busError.Name == "org.freedesktop.DBus.Error.ServiceUnknown" ||
			busError.Name == "org.freedesktop.DBus.Error.NameHasNoOwner"
	}
	var netError *net.OpError
	return errors.As(err, &netError) || errors.Is(err, os.ErrNotExist)
}

// asking reports whether the collection is locked, or single items are being unlocked, which
// prompts.
func (k osKeyring) asking() bool {
	return k.prompting != nil && k.prompting.Load() || k.state() == stateLocked
}

const (
	secretService     = "org.freedesktop.secrets"
	secretServicePath = dbus.ObjectPath("/org/freedesktop/secrets")
	loginCollection   = secretServicePath + "/collection/login"
)

// state returns the state of the default collection, or else of "login". It never prompts.
func (osKeyring) state() keyringState {
	ctx, stop := context.WithTimeout(context.Background(), askWait)
	defer stop()
	bus, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return stateUnknown
	}
	defer func() { _ = bus.Close() }()
	path := dbus.ObjectPath("/") // the Secret Service's null value
	err = bus.Object(secretService, secretServicePath).
		CallWithContext(ctx, "org.freedesktop.Secret.Service.ReadAlias", 0, "default").Store(&path)
	if path != "/" {
		return collectionState(ctx, bus, path)
	}
	state := collectionState(ctx, bus, loginCollection)
	if state == stateUnknown && err == nil {
		return stateMissing
	}
	return state
}

func collectionState(ctx context.Context, bus *dbus.Conn, path dbus.ObjectPath) keyringState {
	var locked bool
	err := bus.Object(secretService, path).
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, "org.freedesktop.Secret.Collection", "Locked").Store(&locked)
	switch {
	case err != nil:
		return stateUnknown
	case locked:
		return stateLocked
	}
	return stateOpen
}
