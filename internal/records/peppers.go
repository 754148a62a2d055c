package records

import (
	"encoding/json"
	"fmt"

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

// PeppersError is why the peppers could not be read. What helps with a login, to start
// over, would make every key worthless that needs them.
type PeppersError struct{ Err error }

func (e *PeppersError) Error() string { return "the peppers of this machine: " + e.Err.Error() }

func (e *PeppersError) Unwrap() error { return e.Err }
