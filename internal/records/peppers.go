package records

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
)

// PeppersContext is what the record of all peppers is sealed for.
var PeppersContext = seal.Context{Kind: "pepper", Profile: "peppers"}

// ParsePeppers reads the peppers of a record, by name.
func ParsePeppers(r credstore.Record) (map[string][]byte, error) {
	peppers := map[string][]byte{}
	if err := json.Unmarshal(r.Head, &peppers); err != nil {
		return nil, fmt.Errorf("the stored peppers: %w", credstore.ErrCorrupt)
	}
	return peppers, nil
}

// PeppersUnread says how to get at the peppers: what helps with a login, to start over,
// would make every key worthless that needs them.
func PeppersUnread(err error) error {
	return cli.WithHint(fmt.Errorf("the peppers of this machine: %w", err), "%s", cmp.Or(app.HintOfKept(err), "nothing is lost; 'fob doctor' says what is wrong with the storage"))
}
