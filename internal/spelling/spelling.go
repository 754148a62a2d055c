// Package spelling guesses what was meant by a word that is not known.
package spelling

// Nearest returns the known word that is most like another: it differs in two
// characters at most, and in half of a short word's. Without one it is "".
func Nearest(word string, known []string) string {
	best, least := "", min(2, len(word)/2)+1
	for _, each := range known {
		if d := distance(word, each); d < least {
			best, least = each, d
		}
	}
	return best
}

// distance counts the characters to add, drop, change or swap with the next between
// two texts.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
