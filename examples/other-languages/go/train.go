// Rows, an image and text into a Kymo run, with OpenTelemetry's SDK for Go alone. Where to and which run: ../README.md
package main

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

func main() {
	exporter, _ := otlploghttp.New(context.Background())
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	defer provider.Shutdown(context.Background())
	emit := func(event, body string, attributes ...attribute.KeyValue) {
		record := log.Record{}
		record.SetEventName(event)
		record.SetBody(attribute.StringValue(body))
		record.AddAttributes(attributes...)
		provider.Logger("trainer").Emit(context.Background(), record)
	}
	for step := range 100 {
		loss := attribute.Float64("train/loss", math.Exp(-float64(step)/30))
		emit("kymo.row", "", attribute.Int("kymo.step", step), attribute.Map("kymo.row.values", loss))
	}
	gradient, encoded := image.NewGray(image.Rect(0, 0, 32, 32)), bytes.Buffer{}
	for i := range gradient.Pix {
		gradient.Pix[i] = byte(4 * (i%32 + i/32))
	}
	png.Encode(&encoded, gradient)
	emit("kymo.media", "", attribute.String("kymo.media.name", "gradient"), attribute.String("kymo.media.kind", "image"), attribute.Int("kymo.step", 99),
		attribute.String("kymo.media.mime_type", "image/png"), attribute.ByteSlice("kymo.media.content", encoded.Bytes()))
	emit("", "training is done", attribute.Int("epochs", 1))
}
