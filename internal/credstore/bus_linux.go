package credstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// bus is a connection to the D-Bus session bus. godbus's own takes five round trips to
// connect and a goroutine for each call; this one sends what was queued when it waits, and
// reads in the caller's goroutine.
type bus struct {
	net.Conn
	out, in   []byte // not yet sent, not yet parsed
	serial    uint32
	replies   map[uint32]*dbus.Message // not yet waited for
	signal    *dbus.Message            // the last one
	err       error                    // of a call that cannot be sent
	onTimeout func() error             // called after a timeout; nil: wait again
}

const (
	busName = "org.freedesktop.DBus"
	busPath = dbus.ObjectPath("/org/freedesktop/DBus")
)

// maxMessage bounds a message from the bus: the paths of many thousand items.
const maxMessage = 4 << 20

// maxLine bounds a line of the authentication.
const maxLine = 4 << 10

// dialBus connects to the first Unix socket in an address that responds, as in
// unix:path=/run/user/1000/bus;unix:abstract=/tmp/dbus,guid=5a.
func dialBus(address string) (*bus, error) {
	err := fmt.Errorf("%w: the address of the D-Bus session bus is not a Unix socket", ErrAbsent)
	for option := range strings.SplitSeq(strings.ReplaceAll(address, "unix:", ","), ",") {
		key, value, _ := strings.Cut(option, "=")
		value, _ = dbus.UnescapeBusAddressValue(strings.TrimSuffix(value, ";"))
		if key == "abstract" {
			value = "@" + value
		} else if key != "path" {
			continue
		}
		var conn net.Conn
		if conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: value, Net: "unix"}); err == nil {
			return &bus{Conn: conn, replies: map[uint32]*dbus.Message{}}, nil
		}
	}
	return nil, err
}

// authenticate authenticates as the current user. BEGIN is sent with the next message, but
// after the response: older versions of xdg-dbus-proxy (Flatpak) reject it earlier.
func (b *bus) authenticate() error {
	user := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	b.out = []byte("\x00AUTH EXTERNAL " + user + "\r\n")
	for !bytes.HasSuffix(b.in, []byte("\r\n")) {
		if len(b.in) > maxLine {
			return errors.New("the D-Bus session bus responds with an endless line")
		}
		if err := b.read(len(b.in) + 1); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(b.in, []byte("OK ")) {
		return errors.New("the D-Bus session bus does not accept this user")
	}
	b.in, b.out = nil, []byte("BEGIN\r\n")
	b.send(busPath, busName+".Hello")
	return nil
}

// send queues a call to the Secret Service, or to the bus itself. Its result is for wait.
func (b *bus) send(path dbus.ObjectPath, method string, args ...any) (serial uint32) {
	destination, dot := secretService, strings.LastIndexByte(method, '.')
	if path == busPath {
		destination = busName
	}
	message := &dbus.Message{Type: dbus.TypeMethodCall, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(destination),
		dbus.FieldPath:        dbus.MakeVariant(path),
		dbus.FieldInterface:   dbus.MakeVariant(method[:dot]),
		dbus.FieldMember:      dbus.MakeVariant(method[dot+1:]),
	}}
	if len(args) > 0 {
		message.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	var text bytes.Buffer
	if err := message.EncodeTo(&text, binary.LittleEndian); err != nil {
		b.err = err
		return 0
	}
	b.serial++
	binary.LittleEndian.PutUint32(text.Bytes()[8:], b.serial) // dbus.Message does not export it
	b.out = append(b.out, text.Bytes()...)
	return b.serial
}

// wait waits for the reply to a call, and stores its values.
func (b *bus) wait(serial uint32, values ...any) error {
	for b.err == nil && b.replies[serial] == nil {
		b.err = b.receive()
	}
	if b.err != nil {
		return b.err
	}
	reply := b.replies[serial]
	delete(b.replies, serial)
	if reply.Type == dbus.TypeError {
		name, _ := reply.Headers[dbus.FieldErrorName].Value().(string)
		return dbus.Error{Name: name, Body: reply.Body}
	}
	return dbus.Store(reply.Body, values...)
}

// receive reads a message.
func (b *bus) receive() error {
	const fixed = 16 // bytes before the header fields
	if err := b.read(fixed); err != nil {
		return err
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if b.in[0] == 'B' {
		order = binary.BigEndian
	}
	body, fields := int64(order.Uint32(b.in[4:])), int64(order.Uint32(b.in[12:]))
	size := fixed + (fields+7)&^7 + body
	if size > maxMessage {
		return fmt.Errorf("a D-Bus message has %d bytes", size)
	}
	if err := b.read(int(size)); err != nil {
		return err
	}
	message, err := dbus.DecodeMessage(bytes.NewReader(b.in[:size]))
	if err != nil {
		return err
	}
	b.in = b.in[size:]
	switch serial, isReply := message.Headers[dbus.FieldReplySerial].Value().(uint32); {
	case message.Type == dbus.TypeSignal:
		b.signal = message
	case isReply && message.Type != dbus.TypeMethodCall: // which any program on the bus may send
		b.replies[serial] = message
	}
	return nil
}

// read sends what is queued, and reads until there are n bytes.
func (b *bus) read(n int) error {
	_, err := b.Write(b.out)
	for b.out = nil; err == nil && len(b.in) < n; {
		var size int
		b.in = slices.Grow(b.in, max(n-len(b.in), 4<<10))
		size, err = b.Read(b.in[len(b.in):cap(b.in)])
		b.in = b.in[:len(b.in)+size]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = b.onTimeout()
		}
	}
	return err
}
