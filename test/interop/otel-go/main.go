// Sends traces, metrics and logs with the stock OpenTelemetry SDK for Go and prints as JSON what it sent.
//
// usage: otel-go http|grpc ENDPOINT RUN_ID
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	spans   = 20
	records = 40
	rows    = 30
)

type span struct {
	Name         string `json:"name"`
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Status       int    `json:"status"`
}
type record struct {
	Body           string `json:"body"`
	SeverityNumber int    `json:"severityNumber"`
	Attribute      int    `json:"attribute"`
	TraceID        string `json:"traceId"`
}
type row struct {
	Step   int                `json:"step"`
	Values map[string]float64 `json:"values"`
}
type scalar struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Step  *int    `json:"step,omitempty"`
}
type histogram struct {
	Name  string  `json:"name"`
	Count int     `json:"count"`
	Sum   float64 `json:"sum"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
}
type everything struct {
	Count      string      `json:"count"`
	Spans      []span      `json:"spans"`
	Logs       []record    `json:"logs"`
	Rows       []row       `json:"rows"`
	Scalars    []scalar    `json:"scalars"`
	Histograms []histogram `json:"histograms"`
}

func main() {
	protocol, endpoint, runID := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	spanExporter, metricExporter, logExporter := exporters(ctx, protocol, strings.TrimPrefix(endpoint, "http://"))
	from := resource.NewSchemaless(
		attribute.String("service.name", "interop"),
		attribute.String("service.instance.id", "go-1"),
		attribute.String("kymo.run.id", runID))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(from), sdktrace.WithBatcher(spanExporter))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(from),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter, sdkmetric.WithInterval(time.Hour))),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "latency/exponential"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})))
	loggers := sdklog.NewLoggerProvider(sdklog.WithResource(from), sdklog.WithProcessor(sdklog.NewBatchProcessor(logExporter)))

	sent := everything{Count: strconv.Itoa(1<<53 + 1)}
	sendSpansAndRecords(ctx, tracers, loggers, &sent)
	sendRows(ctx, loggers, &sent)
	sendMetrics(ctx, meters, &sent)
	must(tracers.Shutdown(ctx))
	must(meters.Shutdown(ctx))
	must(loggers.Shutdown(ctx))
	must(json.NewEncoder(os.Stdout).Encode(sent))
}

func exporters(ctx context.Context, protocol, address string) (sdktrace.SpanExporter, sdkmetric.Exporter, sdklog.Exporter) {
	if protocol == "grpc" {
		return got[sdktrace.SpanExporter](otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))),
			got[sdkmetric.Exporter](otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(address), otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithCompressor("gzip"))),
			got[sdklog.Exporter](otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(address), otlploggrpc.WithInsecure()))
	}
	return got[sdktrace.SpanExporter](otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))),
		got[sdkmetric.Exporter](otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(address), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))),
		got[sdklog.Exporter](otlploghttp.New(ctx, otlploghttp.WithEndpoint(address), otlploghttp.WithInsecure()))
}

// A root span with children of which one fails; attributes of every kind, an event, a link; log records under the root.
func sendSpansAndRecords(ctx context.Context, tracers *sdktrace.TracerProvider, loggers *sdklog.LoggerProvider, sent *everything) {
	tracer := tracers.Tracer("interop.tracer", trace.WithInstrumentationVersion("1.2.3"))
	ctx, root := tracer.Start(ctx, "episode", trace.WithSpanKind(trace.SpanKindServer))
	root.SetAttributes(attribute.String("text", "häß 漢 🚀"), attribute.Bool("flag", true), attribute.Int64("count", 1<<53+1),
		attribute.Float64("ratio", 0.1), attribute.IntSlice("sizes", []int{1, 2, 3}))
	rootContext := root.SpanContext()
	for i := range spans {
		_, child := tracer.Start(ctx, fmt.Sprintf("step %d", i), trace.WithLinks(trace.Link{SpanContext: rootContext}))
		child.SetAttributes(attribute.Int("index", i))
		child.AddEvent("reset", trace.WithAttributes(attribute.String("reason", "fell")))
		status := 0
		if i == spans-1 {
			child.SetStatus(codes.Error, "it fell")
			status = 2
		}
		child.End()
		sent.Spans = append(sent.Spans, span{fmt.Sprintf("step %d", i), rootContext.TraceID().String(), child.SpanContext().SpanID().String(), rootContext.SpanID().String(), status})
	}
	sent.Spans = append(sent.Spans, span{"episode", rootContext.TraceID().String(), rootContext.SpanID().String(), "", 0})

	logger := loggers.Logger("interop.trainer")
	for i := range records {
		var made otellog.Record
		body := fmt.Sprintf("record %d of %d", i, records)
		made.SetTimestamp(time.Now())
		made.SetSeverity(otellog.SeverityWarn)
		made.SetSeverityText("WARN")
		made.SetBody(attribute.StringValue(body))
		made.AddAttributes(attribute.Int("index", i),
			attribute.Map("place", attribute.Float64("cart", 0.5), attribute.StringSlice("tags", []string{"a", "b"})))
		logger.Emit(ctx, made)
		sent.Logs = append(sent.Logs, record{body, int(otellog.SeverityWarn), i, rootContext.TraceID().String()})
	}
	root.End()
}

// Rows as events, for clients whose metrics carry no step.
func sendRows(ctx context.Context, loggers *sdklog.LoggerProvider, sent *everything) {
	logger := loggers.Logger("interop.rows")
	for step := range rows {
		loss := 1 / float64(step+1)
		var made otellog.Record
		made.SetEventName("kymo.row")
		made.SetSeverity(otellog.SeverityInfo)
		made.SetTimestamp(time.Unix(1_700_000_000, int64(step)))
		made.AddAttributes(attribute.Int("kymo.step", step),
			attribute.Map("kymo.row.values", attribute.Float64("go/loss", loss), attribute.Float64("go/lr", 0.01)))
		logger.Emit(ctx, made)
		sent.Rows = append(sent.Rows, row{step, map[string]float64{"go/loss": loss, "go/lr": 0.01}})
	}
}

// Every instrument; one gauge has its step as an attribute, as loggers of other worlds do it.
func sendMetrics(ctx context.Context, meters *sdkmetric.MeterProvider, sent *everything) {
	meter := meters.Meter("interop.meter")
	got(meter.Int64Counter("episodes")).Add(ctx, 7)
	got(meter.Float64UpDownCounter("players")).Add(ctx, -3)
	got(meter.Float64ObservableGauge("temperature", metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
		o.Observe(36.6)
		return nil
	})))
	sent.Scalars = append(sent.Scalars, scalar{"episodes", 7, nil}, scalar{"players", -3, nil}, scalar{"temperature", 36.6, nil})
	stepped := got(meter.Float64Gauge("stepped"))
	for step := range rows {
		stepped.Record(ctx, float64(step)/2, metric.WithAttributes(attribute.Int("step", step)))
		sent.Scalars = append(sent.Scalars, scalar{"stepped", float64(step) / 2, &step})
	}
	for _, name := range []string{"latency/explicit", "latency/exponential"} {
		latency := got(meter.Float64Histogram(name))
		for value := 1; value <= 100; value++ {
			latency.Record(ctx, float64(value))
		}
		sent.Histograms = append(sent.Histograms, histogram{name, 100, 5050, 1, 100})
	}
}

func got[T any](value T, err error) T {
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
