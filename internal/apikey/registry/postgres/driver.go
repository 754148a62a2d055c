package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// connector connects database/sql to pgconn, the part of pgx that speaks the protocol. The
// rest of pgx would add 3 MiB to the program, and prepares named statements.
//
// A statement depends on nothing that an earlier one left in the session: behind a pooler,
// each transaction may be in another one. It is unnamed, and sent together with its values
// in one round trip.
type connector struct{ config *pgconn.Config }

func (connector) Driver() driver.Driver { return nil } // it would open a DSN

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	pg, err := pgconn.ConnectConfig(ctx, c.config)
	if err != nil {
		return nil, err
	}
	return &conn{pg: pg, used: time.Now()}, nil
}

// conn is a connection, and its transaction.
type conn struct {
	driver.Conn // Begin without a context is not called
	pg          *pgconn.PgConn
	used        time.Time
	ctx         context.Context // of the transaction
}

// closeTimeout is the timeout for ending a session.
const closeTimeout = 5 * time.Second

func (c *conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return c.pg.Close(ctx)
}

// maxIdle is how long a connection may be idle and is used again without a check.
const maxIdle = time.Second

// ResetSession is called before a connection is used again.
func (c *conn) ResetSession(ctx context.Context) error {
	if time.Since(c.used) > maxIdle && c.pg.Ping(ctx) != nil {
		return driver.ErrBadConn
	}
	c.used = time.Now()
	return nil
}

// IsValid reports whether a connection can be used again. After a rollback that failed, the
// transaction would keep its locks.
func (c *conn) IsValid() bool { return !c.pg.IsClosed() && c.pg.TxStatus() == 'I' }

func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	begin := "BEGIN"
	if sql.IsolationLevel(options.Isolation) == sql.LevelRepeatableRead {
		begin += " ISOLATION LEVEL REPEATABLE READ"
	}
	if options.ReadOnly {
		begin += " READ ONLY"
	}
	c.ctx = ctx
	_, err := c.send(ctx, begin, nil).Close()
	return c, retryable(err)
}

func (c *conn) Commit() error {
	tag, err := c.send(c.ctx, "COMMIT", nil).Close()
	if err == nil && tag.String() == "ROLLBACK" {
		err = errors.New("the transaction had failed before its commit")
	}
	return err
}

func (c *conn) Rollback() error {
	_, err := c.send(c.ctx, "ROLLBACK", nil).Close()
	return err
}

// Prepare sends nothing. database/sql calls it for each statement.
func (c *conn) Prepare(query string) (driver.Stmt, error) { return stmt{conn: c, query: query}, nil }

type stmt struct {
	driver.Stmt // the methods without a context are not called
	conn        *conn
	query       string
}

func (s stmt) Close() error  { return nil }
func (s stmt) NumInput() int { return -1 }

func (s stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	tag, err := s.conn.send(ctx, s.query, args).Close()
	return driver.RowsAffected(tag.RowsAffected()), retryable(err)
}

func (s stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	r := rows{s.conn.send(ctx, s.query, args)}
	if r.FieldDescriptions() == nil {
		return r, retryable(r.Close())
	}
	return r, nil
}

// retryable returns driver.ErrBadConn if the server got nothing of a statement.
func retryable(err error) error {
	if err != nil && pgconn.SafeToRetry(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return driver.ErrBadConn
	}
	return err
}

const binaryFormat = 1

// send sends a statement and its values, bytes in the binary format and others as text.
// Results are binary.
func (c *conn) send(ctx context.Context, query string, args []driver.NamedValue) *pgconn.ResultReader {
	values, formats := make([][]byte, len(args)), make([]int16, len(args))
	for i, arg := range args {
		switch value := arg.Value.(type) {
		case nil:
		case []byte:
			values[i], formats[i] = value, binaryFormat
		default:
			values[i] = fmt.Append([]byte{}, value) // nil would be NULL
		}
	}
	return c.pg.ExecParams(ctx, query, values, nil, formats, []int16{binaryFormat})
}

type rows struct{ *pgconn.ResultReader }

func (r rows) Columns() (names []string) {
	for _, field := range r.FieldDescriptions() {
		names = append(names, field.Name)
	}
	return names
}

func (r rows) Close() error {
	_, err := r.ResultReader.Close()
	return err
}

func (r rows) Next(values []driver.Value) error {
	if !r.NextRow() {
		return cmp.Or(r.Close(), io.EOF)
	}
	for i, value := range r.Values() {
		values[i] = decode(r.FieldDescriptions()[i].DataTypeOID, value)
	}
	return nil
}

// The types in the registry's tables, by their numbers in pg_type. Texts are their own
// binary format.
const (
	typeBool  = 16
	typeBytes = 17
	typeInt8  = 20
	typeInt4  = 23
)

func decode(oid uint32, value []byte) driver.Value {
	switch {
	case value == nil:
		return nil
	case oid == typeBool && len(value) == 1:
		return value[0] != 0
	case oid == typeBytes:
		return value
	case oid == typeInt8 && len(value) == 8:
		return int64(binary.BigEndian.Uint64(value))
	case oid == typeInt4 && len(value) == 4:
		return int64(int32(binary.BigEndian.Uint32(value)))
	}
	return string(value)
}
