/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Symbols for what the kernel's headers have as macros and inline functions only,
 * and the C compiler's view of the structures that Rust reaches into.
 */
#ifndef VFIO_FSL_MC_HELPERS_H
#define VFIO_FSL_MC_HELPERS_H

#include <linux/eventfd.h>
#include <linux/fsl/mc.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/vfio.h>

/* Memory types of a user mapping. */
enum vfm_memory {
	VFM_MEMORY_DEVICE,
	VFM_MEMORY_CACHED,
	VFM_MEMORY_WRITE_COMBINED,
};

/* Values of the parameter command_policy. */
enum vfm_policy {
	VFM_POLICY_STRICT,
	VFM_POLICY_LOG,
	VFM_POLICY_OFF,
};

/*
 * Exported by the bus for drivers that manage a container; the declarations are in a header
 * beside the bus driver, out of reach of modules built outside the kernel's tree.
 */
int fsl_mc_device_add(struct fsl_mc_obj_desc *obj_desc, struct fsl_mc_io *mc_io,
		      struct device *parent_dev, struct fsl_mc_device **new_mc_dev);
void fsl_mc_device_remove(struct fsl_mc_device *mc_dev);

void vfm_vfio_put_device(struct vfio_device *vdev);
bool vfm_vfio_has_address_space(struct vfio_device *vdev);
bool vfm_vfio_hold_address_space(struct vfio_device *vdev);
void vfm_vfio_release_address_space(struct vfio_device *vdev);
int vfm_device_set_driver_override(struct device *dev, const char *name);
bool vfm_device_has_driver_override(struct device *dev);
bool vfm_bus_has_device(const struct bus_type *bus, const char *name);
void vfm_eventfd_signal(struct eventfd_ctx *ctx);

int vfm_mutex_lock_killable(struct mutex *lock);
bool vfm_fatal_signal_pending(void);
bool vfm_task_has_exited(struct task_struct *task);
void vfm_sleep_killable(u64 min_us, u64 max_us);

void vfm_mc_io_may_sleep(struct fsl_mc_io *mc_io);
void vfm_dprc_abandon(struct fsl_mc_device *mc_dev);

int vfm_msi_alloc(struct device *dev, unsigned int count);
void vfm_msi_free(struct device *dev);
unsigned int vfm_msi_virq(struct device *dev, unsigned int vector);
void vfm_msi_message(unsigned int virq, u64 *address, u32 *data);

int vfm_user_read_u8(u8 *to, const u8 __user *from);
int vfm_user_read_u32(u32 *to, const u32 __user *from);
int vfm_user_read_4_u32(u32 *to, const u32 __user *from);
int vfm_user_write_4_u32(u32 __user *to, const u32 *from);
int vfm_user_read_8_u64(u64 *to, const u64 __user *from);
int vfm_user_write_8_u64(u64 __user *to, const u64 *from);

u64 vfm_portal_submit(void __iomem *portal, const u64 *words);
u64 vfm_portal_header(const void __iomem *portal);
void vfm_portal_parameters(const void __iomem *portal, u64 *words);

void vfm_vma_set_io(struct vm_area_struct *vma, enum vfm_memory memory);
struct vm_area_struct *vfm_fault_vma(struct vm_fault *vmf);
vm_fault_t vfm_fault_map_io(struct vm_fault *vmf, phys_addr_t start);
void vfm_vfio_unmap(struct vfio_device *vdev);
void vfm_vfio_lock_set(struct vfio_device *vdev);
void vfm_vfio_unlock_set(struct vfio_device *vdev);
void vfm_vfio_keep_open(struct vfio_device *vdev);
bool vfm_vfio_is_named(const struct vfio_device *vdev, const char *name);
bool vfm_kvm_maps_cacheable(void);
bool vfm_machine_goes_down(void);

enum vfm_policy vfm_command_policy(void);
u32 vfm_command_timeout_ms(void);
bool vfm_may_print(void);
unsigned long vfm_index_nospec(unsigned long index, unsigned long size);

void vfm_trace_bind(struct device *dev, bool bound);
void vfm_trace_command(struct device *dev, u64 command, u64 answer, int result);
void vfm_trace_irq(struct device *dev, u32 index, u32 virq);
void vfm_trace_reset(struct device *dev, int result);

extern const size_t vfm_layout[];
extern const size_t vfm_layout_entries;

#endif
