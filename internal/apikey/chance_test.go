package apikey

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// passing counts those of so many random texts in a key's shape that are taken for a
// key. One in 2^32 is expected.
func passing(seed uint64, count int) int {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	source := rand.New(rand.NewChaCha8(key))
	text := make([]byte, len("acme_live_1")+IDLength-1+1+secretLength+checksumLength)
	copy(text, "acme_live_1")
	random := func(part []byte) {
		for i := range part {
			part[i] = alphabet[source.IntN(len(alphabet))]
		}
	}
	id := len("acme_live_1")
	passed := 0
	for range count {
		random(text[id:])
		text[id+IDLength-1] = '_'
		if _, err := Parse(string(text)); err == nil {
			passed++
		}
	}
	return passed
}

func TestNoRandomTextPassesTheChecksum(t *testing.T) {
	for seed := range uint64(4) {
		if n := passing(seed, 25_000); n != 0 {
			t.Errorf("seed %d: %d of 25,000 random texts are keys", seed, n)
		}
	}
}

func TestTheChecksumIsCRC32(t *testing.T) {
	for _, text := range []string{"", "123456789", "acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA"} {
		var want [checksumLength]byte
		putBase62(want[:], uint64(crc32.ChecksumIEEE([]byte(text))))
		if got := checksum(text); got != want {
			t.Errorf("%q: %s, not %s", text, got[:], want[:])
		}
	}
	if _, err := Parse("acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4"); err != nil {
		t.Errorf("a key is none: %v", err)
	}
}

// BenchmarkChecksumByChance tries 10 million random texts under each of four seeds.
func BenchmarkChecksumByChance(b *testing.B) {
	for b.Loop() {
		for seed := uint64(10); seed < 14; seed++ {
			b.ReportMetric(float64(passing(seed, 10_000_000)), fmt.Sprintf("passed/1e7@seed%d", seed))
		}
	}
	b.ReportMetric(0, "ns/op")
}
