// Package parallel does several things at a time.
package parallel

import "sync"

// Do runs do for 0 to count-1, atOnce of them at a time, and returns when all are done.
func Do(count, atOnce int, do func(i int)) {
	free := make(chan struct{}, atOnce)
	var under sync.WaitGroup
	for i := range count {
		free <- struct{}{}
		under.Go(func() {
			defer func() { <-free }()
			do(i)
		})
	}
	under.Wait()
}
