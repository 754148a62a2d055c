package cmd

import (
	"cmp"
	"errors"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

// hintOfSecret is hintOf for the errors of secrets that others have issued.
func hintOfSecret(err error) string {
	var output *secretstore.OutputError
	if errors.As(err, &output) {
		return "let it print the new value, and nothing else"
	}
	var named *secretstore.Error
	if !errors.As(err, &named) {
		return ""
	}
	name := named.Name
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(secretstore.ErrNoValue, "give it one: 'fob secret set "+name+"'"),
		cli.HintOn(secretstore.ErrOpen, "go on with it: 'fob secret rotate "+name+" --resume'; or keep what is in force: 'fob secret rotate "+name+" --abandon'"),
		cli.HintOn(secretstore.ErrNotOpen, "'fob secret rotate "+name+"' begins one"),
		cli.HintOn(config.ErrShared, "choose another name, for instance: fob secret set "+name+"-2"),
		cli.HintOn(secretstore.ErrUnanswered, "see at the issuer whether there is a new value, then 'fob secret set "+name+"'; or ask once more: 'fob secret rotate "+name+"'"),
		cli.HintOn(secretstore.ErrSame, "get a new one from its issuer first"),
		cli.HintOn(secretstore.ErrValue, "give the secret itself, 64 KiB at most; of a file with Windows' line ends: tr -d '\\r'"),
		cli.HintOn(session.ErrMoved, "try again: nothing is lost"),
	})
	if hint == "" && isForeign(err) {
		return hintOfSealed(err) + "; to start over, 'fob secret remove " + name + "'"
	}
	return cmp.Or(hint, hintOfSealed(err))
}

// hintOfPeppers is hintOf where this machine's peppers could not be read.
func hintOfPeppers(err error) string {
	var unread *records.PeppersError
	if !errors.As(err, &unread) {
		return ""
	}
	return cmp.Or(hintOfSealed(err), "nothing is lost; 'fob doctor' says what is wrong with the storage")
}

// isForeign reports whether something other than fob wrote a record.
func isForeign(err error) bool {
	return errors.Is(err, seal.ErrTampered) || errors.Is(err, seal.ErrWrongContext) || errors.Is(err, credstore.ErrCorrupt)
}

// hintOfSealed says how to read a record that no new login can replace.
func hintOfSealed(err error) string {
	if isForeign(err) {
		return "something other than fob changed it: find out what; a backup has it, if you made one: 'fob storage restore'"
	}
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(seal.ErrWrongKey, "give the key or passphrase that it was saved under: FOB_SEAL_KEY, or key_file in config.toml"),
		cli.HintOn(credstore.ErrNoKey, "give the key or passphrase that it was saved under: FOB_SEAL_KEY, or key_file in config.toml"),
		cli.HintOn(credstore.ErrAbsent, "use encrypted files: 'storage = \"file\"' in config.toml, or FOB_STORAGE=file; 'fob doctor' says what is missing"),
		cli.HintOn(credstore.ErrLocked, "unlock the keyring, then try again"),
		cli.HintOn(credstore.ErrTimeout, "unlock the keyring, then try again"),
	})
}
