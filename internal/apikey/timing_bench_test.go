package apikey

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// What is shown by who has no right secret, and must not be told apart by time.
var timingClasses = [...]string{"wrong", "unknown", "revoked"}

const (
	timingSamples = 100_000 // of each class
	timingCalls   = 32      // in a sample: one is near the clock's resolution
	timingPool    = 16      // keys
)

// timingPools makes keys as they are presented, and what is found for each in each
// class. A revoked key is shown with a wrong secret: whoever has the right one may
// know that it is revoked.
func timingPools(b *testing.B, now time.Time) (presented [timingPool]Presented, found [len(timingClasses)][timingPool]Record) {
	for i := range timingPool {
		text, _, need := atHand(b)
		p, err := Present(text, need)
		if err != nil {
			b.Fatal(err)
		}
		_, r, _ := atHand(b)
		presented[i], found[0][i], found[2][i] = p, *r, *r
		found[2][i].RevokedAt = now.Add(-time.Minute)
	}
	return presented, found
}

// BenchmarkTiming asks whether the decision on a key that is refused takes as long
// whatever the reason: Welch's t of each pair of classes, 4.5 being the bound.
func BenchmarkTiming(b *testing.B) {
	now := time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)
	presented, found := timingPools(b, now)
	need := Need{Environment: "live"}
	var keys [timingCalls]Presented // these are at the same addresses in each class
	var records [timingCalls]Record
	for b.Loop() {
		var times [len(timingClasses)][]float64
		order := make([]int, timingSamples*len(timingClasses))
		for i := range order {
			order[i] = i % len(timingClasses)
		}
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for at, class := range order {
			first := rand.IntN(timingPool)
			for call := range keys {
				keys[call], records[call] = presented[(first+call)%timingPool], found[class][(first+call)%timingPool]
			}
			start := time.Now()
			for call := range keys {
				if err := keys[call].Check(&records[call], nil, need, now); err == nil {
					b.Fatal("a wrong key was accepted")
				}
			}
			if took := time.Since(start); at >= len(order)/100 { // warm
				times[class] = append(times[class], float64(took))
			}
		}
		for i, one := range timingClasses {
			for j := i + 1; j < len(timingClasses); j++ {
				b.ReportMetric(maxT(times[i], times[j]), "|t|:"+one+"/"+timingClasses[j])
			}
			b.ReportMetric(mean(times[i])/timingCalls, "ns:"+one)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// maxT is the largest |t| of two samples, uncut and cut at percentiles of both
// together, as dudect does: interruptions are long, and leaks short.
func maxT(a, b []float64) float64 {
	both := slices.Sorted(slices.Values(slices.Concat(a, b)))
	most := math.Abs(welch(a, b))
	for i := range 100 {
		share := 1 - math.Pow(0.5, 10*float64(i+1)/100)
		bound := both[int(share*float64(len(both)))]
		most = max(most, math.Abs(welch(below(a, bound), below(b, bound))))
	}
	return most
}

func below(values []float64, bound float64) (kept []float64) {
	for _, v := range values {
		if v < bound {
			kept = append(kept, v)
		}
	}
	return kept
}

// welch is Welch's t; 0 of too few values.
func welch(a, b []float64) float64 {
	if len(a) < 1000 || len(b) < 1000 {
		return 0
	}
	spread := variance(a)/float64(len(a)) + variance(b)/float64(len(b))
	if spread == 0 {
		return 0
	}
	return (mean(a) - mean(b)) / math.Sqrt(spread)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func variance(values []float64) float64 {
	m, sum := mean(values), 0.0
	for _, v := range values {
		sum += (v - m) * (v - m)
	}
	return sum / float64(len(values)-1)
}
