/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_fsl_mc

#if !defined(VFIO_FSL_MC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VFIO_FSL_MC_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>

TRACE_EVENT(vfio_fsl_mc_bind,
	TP_PROTO(struct device *dev, bool bound),
	TP_ARGS(dev, bound),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(bool, bound)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->bound = bound;
	),
	TP_printk("%s %s", __get_str(name), __entry->bound ? "bound" : "unbound")
);

TRACE_EVENT(vfio_fsl_mc_command,
	TP_PROTO(struct device *dev, u64 command, u64 answer, int result),
	TP_ARGS(dev, command, answer, result),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(u64, command)
		__field(u64, answer)
		__field(int, result)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->command = command;
		__entry->answer = answer;
		__entry->result = result;
	),
	TP_printk("%s command=%#llx.%llu token=%#llx status=%#llx result=%d",
		  __get_str(name), __entry->command >> 52,
		  (__entry->command >> 48) & 0xf,
		  (__entry->command >> 32) & 0xffff,
		  (__entry->answer >> 16) & 0xff, __entry->result)
);

TRACE_EVENT(vfio_fsl_mc_irq,
	TP_PROTO(struct device *dev, u32 index, u32 virq),
	TP_ARGS(dev, index, virq),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(u32, index)
		__field(u32, virq)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->index = index;
		__entry->virq = virq;
	),
	TP_printk("%s index=%u virq=%u", __get_str(name), __entry->index, __entry->virq)
);

TRACE_EVENT(vfio_fsl_mc_reset,
	TP_PROTO(struct device *dev, int result),
	TP_ARGS(dev, result),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(int, result)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->result = result;
	),
	TP_printk("%s result=%d", __get_str(name), __entry->result)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
