package postgres

import "database/sql"

// OpenDB returns connections of fob's driver.
func OpenDB(dsn string) (*sql.DB, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector{config: config}), nil
}
