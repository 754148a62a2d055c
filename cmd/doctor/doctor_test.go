package doctor

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
)

func TestInterruptedDoctor(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var stdout strings.Builder
	a := app.New(strings.NewReader(""), &stdout, io.Discard, map[string]string{"FOB_HOME": t.TempDir(), "FOB_STORAGE": "file"})
	if err := runDoctor(ctx, a, doctorOptions{}); !errors.Is(err, context.Canceled) || stdout.Len() != 0 {
		t.Errorf("runDoctor() = %v, and printed %q", err, stdout.String())
	}
}
