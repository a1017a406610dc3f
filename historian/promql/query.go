package promql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edge/historian/journal"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"
)

// result is the data of query and query_range.
type result struct {
	value parser.Value
	stats stats.QueryStats // nil: not asked for
}

func (r *request) query() (answer, error) {
	at, err := r.time("time", r.api.o.Clock())
	if err != nil {
		return answer{}, err
	}
	return r.run(func(ctx context.Context, q *querier, o promql.QueryOpts, expr string) (promql.Query, error) {
		return r.api.engine.NewInstantQuery(ctx, q, o, expr, at)
	})
}

func (r *request) queryRange() (answer, error) {
	start, err := r.time("start", time.Time{})
	if err != nil {
		return answer{}, err
	}
	end, err := r.time("end", time.Time{})
	if err != nil {
		return answer{}, err
	}
	if end.Before(start) {
		return answer{}, wrong("end", errors.New("end timestamp must not be before start time"))
	}
	if r.Form.Get("step") == "" {
		return answer{}, wrong("step", errors.New(`cannot parse "" to a valid duration`))
	}
	step, err := r.duration("step")
	switch {
	case err != nil:
		return answer{}, err
	case step <= 0:
		return answer{}, wrong("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case step < time.Millisecond:
		return answer{}, wrong("step", errors.New("less than a millisecond"))
	case end.Sub(start)/step > maxPoints:
		return answer{}, problem{badData, fmt.Errorf("exceeded maximum resolution of %d points per timeseries. Try increasing the value of 'step' parameter", maxPoints)}
	}
	return r.run(func(ctx context.Context, q *querier, o promql.QueryOpts, expr string) (promql.Query, error) {
		return r.api.engine.NewRangeQuery(ctx, q, o, expr, start, end, step)
	})
}

// run makes a query and carries it out.
func (r *request) run(begin func(context.Context, *querier, promql.QueryOpts, string) (promql.Query, error)) (answer, error) {
	expr, err := r.expression()
	if err != nil {
		return answer{}, err
	}
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	ctx := r.Context()
	within, err := r.duration("timeout")
	if err != nil {
		return answer{}, err
	}
	if within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	lookback, err := r.duration("lookback_delta")
	if err != nil {
		return answer{}, err
	}
	if lookback < time.Millisecond {
		lookback = r.api.o.Lookback
	}
	q := r.api.querier(lookback)
	q.steady = r.api.isSteady(expr)
	query, err := begin(ctx, q, promql.NewPrometheusQueryOpts(false, lookback), expr)
	if err != nil {
		return answer{}, wrong("query", err)
	}
	res := query.Exec(ctx)
	counts := query.Stats()
	r.api.samples.Add(counts.Samples.TotalSamples)
	got := answer{warnings: res.Warnings, close: query.Close}
	if res.Err != nil {
		return got, judge(res.Err)
	}
	out := result{value: res.Value}
	if r.Form.Get("stats") != "" {
		out.stats = stats.NewQueryStats(counts)
	}
	if value, cut := firstOf(res.Value, limit); cut {
		out.value = value
		got.warnings = got.warnings.Add(errTruncated)
	}
	got.data = out
	return got, nil
}

var errTruncated = errors.New("results truncated due to limit")

// firstOf cuts a result to the first series; limit 0: all.
func firstOf(v parser.Value, limit int) (cut parser.Value, did bool) {
	switch v := v.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	}
	return v, false
}

// querier is what one query reads through. What a value holds for is decided once: at its beginning.
func (a *API) querier(lookback time.Duration) *querier {
	return &querier{store: a.catalog.store, catalog: a.catalog, maxSeries: a.o.MaxSeries, lookback: millis(lookback),
		now: journal.Millis(a.o.Clock().UnixMilli()), gaps: make(map[owned]known),
		ahead: ahead{limit: a.o.MaxSamples / 2, width: firstAhead}}
}

// isSteady says that an expression has no subquery, which is computed at times of its own.
func (a *API) isSteady(expr string) bool {
	parsed, err := a.parser.ParseExpr(expr)
	if err != nil {
		return false // the engine says why
	}
	steady := true
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		_, sub := n.(*parser.SubqueryExpr)
		steady = steady && !sub
		return nil
	})
	return steady
}

func (r *request) formatQuery() (answer, error) {
	s, err := r.expression()
	if err != nil {
		return answer{}, err
	}
	expr, err := r.api.parser.ParseExpr(s)
	if err != nil {
		return answer{}, wrong("query", err)
	}
	return answer{data: expr.Pretty(0)}, nil
}
