package destination

import "os"

func endProcess(p *os.Process) error { return p.Kill() }
