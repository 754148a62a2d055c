//go:build !linux

package credstore

import "github.com/zalando/go-keyring"

func (k osKeyring) session() (keyringSession, error) { return k, nil }

func (osKeyring) get(account string) (string, error) { return keyring.Get(serviceName, account) }
func (osKeyring) set(account, value string) error    { return keyring.Set(serviceName, account, value) }
func (osKeyring) delete(account string) error        { return keyring.Delete(serviceName, account) }
