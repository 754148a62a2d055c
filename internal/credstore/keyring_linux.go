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
	svc        *ss.SecretService
	session    dbus.BusObject
	collection dbus.BusObject
}

func (osKeyring) session() (keyringSession, error) {
	svc, err := ss.NewSecretService()
	if err != nil {
		return nil, err
	}
	session, err := svc.OpenSession()
	if err != nil {
		return nil, err
	}
	s := &serviceSession{svc, session, svc.GetLoginCollection()}
	return s, svc.Unlock(s.collection.Path())
}

func attributes(account string) map[string]string {
	return map[string]string{"service": serviceName, "username": account}
}

func (s *serviceSession) find(account string) (dbus.ObjectPath, error) {
	found, err := s.svc.SearchItems(s.collection, attributes(account))
	if err == nil && len(found) == 0 {
		err = keyring.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

func (s *serviceSession) get(account string) (string, error) {
	item, err := s.find(account)
	if err != nil {
		return "", err
	}
	secret, err := s.svc.GetSecret(item, s.session.Path())
	if err != nil { // single items may be locked
		return keyring.Get(serviceName, account)
	}
	return string(secret.Value), nil
}

func (s *serviceSession) set(account, value string) error {
	label := "Password for '" + account + "' on '" + serviceName + "'" // the label that go-keyring uses
	return s.svc.CreateItem(s.collection, label, attributes(account), ss.NewSecret(s.session.Path(), value))
}

func (s *serviceSession) delete(account string) error {
	item, err := s.find(account)
	if err != nil {
		return err
	}
	return s.svc.Delete(item)
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

// asking reports whether the collection is locked, which prompts. Locked single items are
// not detected, because searching for them can prompt too.
func (k osKeyring) asking() bool { return k.state() == stateLocked }

const (
	secretService     = "org.freedesktop.secrets"
	secretServicePath = dbus.ObjectPath("/org/freedesktop/secrets")
	loginCollection   = secretServicePath + "/collection/login"
)

// state returns the state of the collection that go-keyring uses: "login", or else the
// default one. It never prompts.
func (osKeyring) state() keyringState {
	ctx, stop := context.WithTimeout(context.Background(), askWait)
	defer stop()
	bus, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return stateUnknown
	}
	defer func() { _ = bus.Close() }()
	if state := collectionState(ctx, bus, loginCollection); state != stateUnknown {
		return state
	}
	var path dbus.ObjectPath
	err = bus.Object(secretService, secretServicePath).
		CallWithContext(ctx, "org.freedesktop.Secret.Service.ReadAlias", 0, "default").Store(&path)
	switch {
	case err != nil:
		return stateUnknown
	case path == "/": // the Secret Service's null value
		return stateMissing
	}
	return collectionState(ctx, bus, path)
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
