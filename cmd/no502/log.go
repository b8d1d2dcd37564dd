package main

import (
	"io"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/no502/no502/controller/report"
)

// logger writes every line: zap's production preset would sample and drop.
func (s *settings) logger(w io.Writer) logr.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	config.EncodeLevel = zapcore.LowercaseLevelEncoder
	encoder := zapcore.NewConsoleEncoder(config)
	if s.logFormat == "json" {
		encoder = zapcore.NewJSONEncoder(config)
	}
	level := zapcore.InfoLevel
	if s.logLevel == "debug" {
		level = zapcore.DebugLevel // logr's V(1)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(report.Plain(w))), level)
	return zapr.NewLoggerWithOptions(zap.New(core), zapr.LogInfoLevel(""), zapr.ErrorKey("error"))
}
