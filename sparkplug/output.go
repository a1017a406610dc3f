package sparkplug

// memory is what an output is made in. From one step to the next it is the same, if its user gives it back.
type memory struct {
	records []Record
	samples []Sample
	changed []MetricRef
}

// keptMemory is how many samples an output may have had for its memory to be kept: a birth is rare and may be large.
const keptMemory = 1024

// remember takes memory for an output that will have records or changes.
func (s *step) remember() {
	if s.memory != nil {
		return
	}
	m, _ := s.h.lent.Get().(*memory)
	if m == nil {
		m = &memory{}
	}
	s.memory = m
	s.out.Records, s.out.Changed, s.samples = m.records[:0], m.changed[:0], m.samples[:0]
}

// end returns the output.
func (s *step) end() Output {
	if m := s.memory; m != nil {
		m.records, m.changed, m.samples = s.out.Records, s.out.Changed, s.samples
		s.out.memory = m
	}
	out := s.out
	*s = step{} // it holds nothing of the message
	return out
}

// Done gives the memory of an output back, of which nothing may be used any more. Whoever does not call it leaves it to the garbage
// collector. It may be called by any goroutine, while the host takes another step.
func (h *Host) Done(out Output) {
	m := out.memory
	if m == nil || cap(m.samples) > keptMemory || cap(m.changed) > keptMemory || cap(m.records) > 2*keptMemory {
		return
	}
	clear(m.records)
	clear(m.samples)
	clear(m.changed)
	h.lent.Put(m)
}
