package credstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// osKeyringOf is the Secret Service behind a store.
func osKeyringOf(s *Store) *osKeyring {
	return s.items.(tracedItems).items.(*keyringItems).os.(*osKeyring)
}

// countSends puts a socket before the bus, and counts what the client sends at once.
func countSends(t *testing.T) *atomic.Int32 {
	t.Helper()
	address, _, _ := strings.Cut(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), ",")
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	sends := &atomic.Int32{}
	go func() {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = client.Close() }()
		bus, err := net.Dial("unix", strings.TrimPrefix(address, "unix:path="))
		if err != nil {
			return
		}
		defer func() { _ = bus.Close() }()
		go func() { _, _ = io.Copy(client, bus) }()
		for buffer := make([]byte, 64<<10); ; sends.Add(1) {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			_, _ = bus.Write(buffer[:n])
		}
	}()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:abstract=/absent;unix:path="+socket+",guid=5a")
	return sends
}

// A cached token reads one item, in every script that needs one.
func TestKeyring_ItemIsReadInThreeCalls(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Set(t.Context(), login, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.calls = nil })
	sends := countSends(t)
	k := osKeyringOf(s)
	k.bus = nil // as of another process
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "x" {
		t.Fatalf("Get() = %q, %v", got, err)
	}
	f.set(func() {
		if want := []string{"OpenSession", "SearchItems", "GetSecret"}; !slices.Equal(f.calls, want) || k.serial != uint32(1+len(want)) {
			t.Errorf("it calls %q, in %d messages", f.calls, k.serial)
		}
	})
	if sends.Load() != 1+3 {
		t.Errorf("%d round trips", sends.Load())
	}
}

func TestKeyring_PiecesAreReadInOneSession(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	mustStore(t, s, large)
	f.set(func() { f.calls = nil })
	osKeyringOf(s).bus = nil // as of another process
	if got, err := s.Get(t.Context(), login); err != nil || !bytes.Equal(got.Body, large.Body) {
		t.Fatalf("%d bytes, %v", len(got.Body), err)
	}
	f.set(func() {
		if want := 1 + 2*len(f.items); len(f.calls) != want {
			t.Errorf("%d items in the calls %q", len(f.items), f.calls)
		}
	})
}

// KeePassXC shows no items while its database is locked.
func TestKeyring_HiddenItemsAreNotMissing(t *testing.T) {
	for name, change := range map[string]func(f *fakeSecretService){
		"prompt dismissed": func(f *fakeSecretService) { f.answer = true },
		"not unlocked":     func(f *fakeSecretService) { f.refuses = true },
	} {
		t.Run(name, func(t *testing.T) {
			f := startSecretService(t)
			s, _ := onBus(t)
			if err := s.Set(t.Context(), login, Record{Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			f.set(func() { f.Locked, f.hides = true, true; change(f) })
			if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrLocked) {
				t.Errorf("Get() = %v", err)
			}
		})
	}
}

func TestKeyring_ConnectsAgainAfterAnError(t *testing.T) {
	startSecretService(t)
	s, _ := onBus(t)
	mustStore(t, s, Record{Body: []byte("x")})
	_ = osKeyringOf(s).Close() // as by a bus that was restarted
	if _, err := s.Get(t.Context(), login); err == nil {
		t.Error("a closed connection was used")
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "x" {
		t.Errorf("Get() = %q, %v", got, err)
	}
}

func TestE42SilentBusInterrupted(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+listener.Addr().String())
	s, _ := onBus(t)
	s.items.(tracedItems).items.(*keyringItems).limits.slow = time.Hour
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		if _, err := listener.Accept(); err == nil {
			interrupt()
		}
	}()
	if err := s.Probe(ctx, 8); !errors.Is(err, context.Canceled) {
		t.Errorf("Probe() = %v", err)
	}
}

// Another program of the user may own the name of the Secret Service.
func TestKeyring_HostileResponses(t *testing.T) {
	paths := []dbus.ObjectPath{ssCollection + "/item"}
	for name, methods := range map[string]map[string]any{
		"session of another type": {"OpenSession": func(string, dbus.Variant) (int32, *dbus.Error) { return 7, nil }},
		"no session":              {"OpenSession": func(string, dbus.Variant) *dbus.Error { return nil }},
		"items of another type":   {"SearchItems": func(map[string]string) (string, map[string]dbus.Variant, *dbus.Error) { return "x", nil, nil }},
		"items of nested arrays":  {"SearchItems": func(map[string]string) ([][][]int32, []string, *dbus.Error) { return [][][]int32{{{1}}}, nil, nil }},
		"too few values":          {"SearchItems": func(map[string]string) ([]dbus.ObjectPath, *dbus.Error) { return paths, nil }},
		"invalid paths":           {"SearchItems": func(map[string]string) ([]string, []string, *dbus.Error) { return []string{"no path"}, nil, nil }},
		"huge arrays": {"SearchItems": func(map[string]string) ([]dbus.ObjectPath, []dbus.ObjectPath, *dbus.Error) {
			return slices.Repeat(paths, 1e5), nil, nil
		}},
		"an unknown error": {"SearchItems": func(map[string]string) *dbus.Error { return dbus.NewError("x.y", []any{int32(7)}) }},
		"a secret of another type": {
			"SearchItems": func(map[string]string) ([]dbus.ObjectPath, []dbus.ObjectPath, *dbus.Error) { return paths, nil, nil },
			"GetSecret":   func(dbus.ObjectPath) (dbus.Variant, *dbus.Error) { return dbus.MakeVariant(paths), nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := startSecretService(t)
			s, lines := onBus(t)
			if err := s.Set(t.Context(), login, Record{}); err != nil {
				t.Fatal(err)
			}
			service := map[string]any{"OpenSession": f.openSession, "SearchItems": f.search}
			for method, do := range methods {
				service[method] = do
			}
			if err := errors.Join(f.bus.ExportMethodTable(service, ssService, ssBase+"Service"),
				f.bus.ExportMethodTable(service, paths[0], ssBase+"Item")); err != nil {
				t.Fatal(err)
			}
			osKeyringOf(s).bus = nil // as of another process
			if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrRefused) || len(*lines) != 0 {
				t.Errorf("Get() = %v, told %q", err, *lines)
			}
		})
	}
}

func TestBus_EndlessLine(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() { _, _ = io.Copy(io.Discard, server) }()
	go func() {
		for err := error(nil); err == nil; {
			_, err = server.Write(make([]byte, 1<<10))
		}
	}()
	b := &bus{Conn: client}
	if err := b.authenticate(); err == nil || !strings.Contains(err.Error(), "endless line") || len(b.in) > 4*maxLine {
		t.Errorf("%d bytes, %v", len(b.in), err)
	}
}

// The bus delivers replies only from who was called, but calls from every program.
func TestKeyring_CallsAreNotReplies(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	mustStore(t, s, Record{Body: []byte("x")})
	other, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	search := func(message dbus.Message, attributes map[string]string) (unlocked, locked []dbus.ObjectPath, _ *dbus.Error) {
		none := []dbus.ObjectPath{}
		other.Send(&dbus.Message{
			Type: dbus.TypeMethodCall, Flags: dbus.FlagNoReplyExpected, Body: []any{none, none},
			Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldDestination: message.Headers[dbus.FieldSender],
				dbus.FieldPath:        dbus.MakeVariant(ssService),
				dbus.FieldMember:      dbus.MakeVariant("SearchItems"),
				dbus.FieldReplySerial: dbus.MakeVariant(message.Serial()),
				dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(none, none)),
			},
		}, nil)
		if err := other.BusObject().Call(busName+".GetId", 0).Err; err != nil { // the bus has delivered it
			t.Error(err)
		}
		return f.search(attributes)
	}
	if err := f.bus.ExportMethodTable(map[string]any{"OpenSession": f.openSession, "SearchItems": search, "ReadAlias": f.alias}, ssService, ssBase+"Service"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "x" {
		t.Errorf("Get() = %q, %v", got, err)
	}
}
