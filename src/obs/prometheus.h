/* prometheus.h - All metrics of the process in Prometheus' text format. */
#ifndef OBS_PROMETHEUS_H
#define OBS_PROMETHEUS_H

#include "base/str.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void prometheus_write(struct buf *out);

#endif
