package packets

// Topics remembers topic names that were found good: one that comes again is neither checked nor copied again. A device
// publishes to few topics, many times. The zero value remembers nothing; it is not safe for concurrent use.
type Topics struct {
	Max   int // names remembered at most; beyond, all are forgotten
	names map[string]string
}

// maxTopicLen is the longest name remembered, in bytes: longer ones are rare, and bound the memory.
const maxTopicLen = 256

// find returns the name in b, if it is remembered.
func (t *Topics) find(b []byte) (name string, found bool) {
	if t == nil || len(b) > maxTopicLen {
		return "", false
	}
	name, found = t.names[string(b)]
	return name, found
}

// remember keeps a name that is good.
func (t *Topics) remember(name string) {
	if t == nil || t.Max <= 0 || len(name) > maxTopicLen {
		return
	}
	if t.names == nil || len(t.names) >= t.Max {
		t.names = make(map[string]string)
	}
	t.names[name] = name
}
