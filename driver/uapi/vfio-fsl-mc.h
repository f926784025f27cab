/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note OR BSD-3-Clause */
/*
 * What vfio-fsl-mc offers beside linux/vfio.h, to programs.
 */
#ifndef VFIO_FSL_MC_UAPI_H
#define VFIO_FSL_MC_UAPI_H

#include <linux/types.h>
#include <linux/vfio.h>

/*
 * VFIO_DEVICE_FSL_MC_COMMAND - _IO(VFIO_TYPE, VFIO_BASE + 100)
 *
 * Sends a command through the portal of a container or a dpmcp and waits for its answer,
 * which takes its place: a write and a read of region 0 in one call, with no command of
 * another thread in between, and without a change to what other threads read.
 *
 * argsz is the size of the structure, flags is zero. Words are little-endian, as in the portal.
 *
 * Return: 0 when the Management Complex has answered, whatever it says, or the driver in its
 * place; -1 and errno otherwise. ENOTTY: a driver without this call. EINVAL: no portal, or
 * arguments that are not as said above. EBUSY, EINTR, ETIMEDOUT, ENOMEM, ENODEV: as for a write.
 */
struct vfio_fsl_mc_command {
	__u32 argsz;
	__u32 flags;
	__le64 message[8];
};

#define VFIO_DEVICE_FSL_MC_COMMAND _IO(VFIO_TYPE, VFIO_BASE + 100)

/*
 * An interrupt beyond those of the object, with the meaning of VFIO_PCI_REQ_IRQ_INDEX: the host
 * waits for the device to be closed. Its eventfd is set by VFIO_DEVICE_SET_IRQS and signalled
 * every ten seconds while the host waits.
 *
 * VFIO_DEVICE_GET_INFO does not count it: programs that take each index below num_irqs for an
 * interrupt of the object go on as before. VFIO_DEVICE_GET_IRQ_INFO says whether a driver has
 * it: EINVAL where it has not. No object has as many interrupts.
 */
#define VFIO_FSL_MC_REQ_IRQ_INDEX 256

#endif
