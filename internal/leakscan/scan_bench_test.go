package leakscan

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkScan_Source is the speed of scanning source text, here fob's own.
func BenchmarkScan_Source(b *testing.B) {
	paths, err := filepath.Glob("../*/*.go")
	if err != nil || len(paths) == 0 {
		b.Fatal(paths, err)
	}
	var text []byte
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		text = append(text, file...)
	}
	s := scanner(b, "acme")
	buffer := make([]byte, chunkSize)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := s.Scan(b.Context(), bytes.NewReader(text), buffer, func(Finding) {}); err != nil {
			b.Fatal(err)
		}
	}
}
