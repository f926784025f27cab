/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What bindgen reads: the interfaces that the kernel crate does not bind.
 *
 * The first header avoids a forward reference to an enum that bindgen gets wrong
 * (rust-bindgen issue 3179), as rust/bindings/bindings_helper.h does.
 */
#include <linux/hrtimer_types.h>

#include <linux/device.h>
#include <linux/fsl/mc.h>
#include <linux/vfio.h>

#include "helpers.h"
#include "uapi/vfio-fsl-mc.h"

/* _IO() numbers are casts that bindgen does not evaluate. */
static const __u32 RUST_CONST_HELPER_VFIO_DEVICE_GET_INFO = VFIO_DEVICE_GET_INFO;
static const __u32 RUST_CONST_HELPER_VFIO_DEVICE_GET_IRQ_INFO = VFIO_DEVICE_GET_IRQ_INFO;
static const __u32 RUST_CONST_HELPER_VFIO_DEVICE_SET_IRQS = VFIO_DEVICE_SET_IRQS;
static const __u32 RUST_CONST_HELPER_VFIO_DEVICE_RESET = VFIO_DEVICE_RESET;
static const __u32 RUST_CONST_HELPER_VFIO_DEVICE_FSL_MC_COMMAND = VFIO_DEVICE_FSL_MC_COMMAND;
