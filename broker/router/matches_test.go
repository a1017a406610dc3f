package router

import (
	"fmt"
	"strings"
	"testing"

	"edge/broker/topic"
)

// TestLongTopicsAreNotRemembered: who publishes to many topics of 64 KB each does not fill the memory with them.
func TestLongTopicsAreNotRemembered(t *testing.T) {
	var tree topic.Tree[*member, options]
	who := &member{}
	tree.Add("#", who, options{})
	rt := newRouting()
	long := strings.Repeat("x", 65000)
	for i := range 100 {
		if list := rt.found.of(topic.Name(fmt.Sprint(long, i)), &tree); len(list) != 1 || list[0].who != who {
			t.Fatalf("%d subscriptions select a long topic", len(list))
		}
	}
	bytes := 0
	for name := range rt.found.byTopic {
		bytes += len(name)
	}
	if bytes > maxTopics*maxTopicBytes {
		t.Errorf("%d bytes of topics are remembered", bytes)
	}
	for range 2 {
		if list := rt.found.of("short", &tree); len(list) != 1 || rt.found.byTopic["short"] == nil {
			t.Error("a short topic is not remembered")
		}
	}
}

func (f *matches) of(name topic.Name, tree *topic.Tree[*member, options]) []match {
	list, known := f.begin(name, tree, 1)
	for !known {
		list, known = f.next(name, 1, 1)
	}
	return list
}
