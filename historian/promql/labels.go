package promql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"edge/historian"
	"edge/historian/journal"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// The questions about names look at the catalog, and for start and end at what each day has samples of: what a query over that time
// may find is named. Of sparkplug_up, and over more than a month, every series is.

func (r *request) series() (answer, error) {
	sets, limit, err := r.about()
	if err != nil {
		return answer{}, err
	}
	if len(sets) == 0 {
		return answer{}, problem{badData, errors.New("no match[] parameter provided")}
	}
	active, err := r.active()
	if err != nil {
		return answer{}, err
	}
	seen := make(map[ref]bool)
	for _, set := range sets {
		err := r.api.catalog.match(r.Context(), set, func(s ref) bool {
			if active.has(&s) {
				seen[s] = true
			}
			return limit == 0 || len(seen) <= limit
		})
		if err != nil {
			return answer{}, judge(err)
		}
		if len(seen) > r.api.o.MaxSeries {
			return answer{}, problem{execution, tooManySeries(r.api.o.MaxSeries)}
		}
	}
	var b labels.ScratchBuilder
	list := make([]labels.Labels, 0, len(seen))
	for s := range seen {
		list = append(list, s.labels(&b))
	}
	slices.SortFunc(list, labels.Compare)
	return atMost(list, limit), nil
}

// atMost answers with the first limit of a list (0: all), and a warning if there are more.
func atMost[T any](list []T, limit int) (got answer) {
	if limit > 0 && len(list) > limit {
		list = list[:limit]
		got.warnings = got.warnings.Add(errTruncated)
	}
	got.data = list
	return got
}

func (r *request) labelNames() (answer, error) { return r.names(namesOf) }

func (r *request) labelValues() (answer, error) {
	name := r.label
	if strings.HasPrefix(name, "U__") { // how a client writes a name that does not fit into a path
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, problem{badData, fmt.Errorf("invalid label name: %q", name)}
	}
	return r.names(valuesOf(name))
}

// words adds words of one series.
type words func(s *ref, add func(string))

func namesOf(s *ref, add func(string)) {
	for _, name := range labelNames {
		if s.label(name) != "" {
			add(name)
		}
	}
}

func valuesOf(name string) words {
	return func(s *ref, add func(string)) {
		if v := s.label(name); v != "" {
			add(v)
		}
	}
}

// names answers with the words that f finds in the series asked for, sorted, each once.
func (r *request) names(f words) (answer, error) {
	sets, limit, err := r.about()
	if err != nil {
		return answer{}, err
	}
	if len(sets) == 0 {
		sets = append(sets, nil) // all series
	}
	active, err := r.active()
	if err != nil {
		return answer{}, err
	}
	list, err := r.api.catalog.words(r.Context(), active.only(f), sets...)
	if err != nil {
		return answer{}, judge(err)
	}
	return atMost(list, limit), nil
}

// activity is what may have something to tell of a time; nil: everything.
type activity map[historian.Metric]bool

// active reads start and end, and asks who is active between them, both inclusive. Neither given, everything is.
func (r *request) active() (activity, error) {
	if r.Form.Get("start") == "" && r.Form.Get("end") == "" {
		return nil, nil
	}
	start, err := r.time("start", earliest)
	if err != nil {
		return nil, err
	}
	end, err := r.time("end", latest)
	if err != nil {
		return nil, err
	}
	list, all, err := r.api.catalog.store.Active(r.Context(), journal.Millis(start.UnixMilli()), journal.Millis(end.UnixMilli())+1)
	if err != nil {
		return nil, judge(err)
	}
	if all {
		return nil, nil
	}
	return list, nil
}

func (a activity) has(s *ref) bool {
	return a == nil || s.metric == "" || a[historian.Metric{Group: s.group, Node: s.node, Device: s.device, Name: s.metric}]
}

// only finds words of those alone.
func (a activity) only(f words) words {
	return func(s *ref, add func(string)) {
		if a.has(s) {
			f(s, add)
		}
	}
}

// about reads what questions about names have in common.
func (r *request) about() (sets [][]*labels.Matcher, limit int, err error) {
	if limit, err = r.limit(); err != nil {
		return nil, 0, err
	}
	sets, err = r.selectors()
	return sets, limit, err
}

// words are what f finds in the series that match one of the sets, sorted, each once.
func (c *catalog) words(ctx context.Context, f words, sets ...[]*labels.Matcher) ([]string, error) {
	seen := make(map[string]struct{})
	for _, set := range sets {
		err := c.match(ctx, set, func(s ref) bool {
			f(&s, func(word string) { seen[word] = struct{}{} })
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	list := slices.AppendSeq(make([]string, 0, len(seen)), maps.Keys(seen))
	slices.Sort(list)
	return list, nil
}

// LabelNames implements storage.LabelQuerier.
func (q *querier) LabelNames(ctx context.Context, _ *storage.LabelHints, m ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	list, err := q.catalog.words(ctx, namesOf, m)
	return list, nil, err
}

// LabelValues implements storage.LabelQuerier.
func (q *querier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, m ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	list, err := q.catalog.words(ctx, valuesOf(name), m)
	return list, nil, err
}
