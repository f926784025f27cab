// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#include <linux/cpufeature.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/ratelimit.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/unroll.h>

#include "helpers.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void vfm_vfio_put_device(struct vfio_device *vdev)
{
	vfio_put_device(vdev);
}

/*
 * Whether the device's IOMMU domain is its holder's. VFIO's own container gives a group its domain
 * before any of its devices can be opened; an iommufd gives it to a device after it was opened.
 * To be called with dev_set->lock held, as it is during the open callback.
 */
bool vfm_vfio_has_address_space(struct vfio_device *vdev)
{
#if IS_ENABLED(CONFIG_IOMMUFD)
	return !vdev->iommufd_device || vdev->iommufd_attached;
#else
	return true;
#endif
}

/*
 * Keeps the holder's IOMMU domain, if there is one, until it is released: of a device that is
 * bound to an iommufd, another thread could take it away at any moment. The device is open.
 */
bool vfm_vfio_hold_address_space(struct vfio_device *vdev)
{
#if IS_ENABLED(CONFIG_IOMMUFD)
	if (!vdev->iommufd_device)
		return true;
	mutex_lock(&vdev->dev_set->lock);
	if (vdev->iommufd_attached)
		return true;
	mutex_unlock(&vdev->dev_set->lock);
	return false;
#else
	return true;
#endif
}

void vfm_vfio_release_address_space(struct vfio_device *vdev)
{
#if IS_ENABLED(CONFIG_IOMMUFD)
	/* The device is open still, and has had an iommufd from before it was, or never. */
	if (vdev->iommufd_device)
		mutex_unlock(&vdev->dev_set->lock);
#endif
}

int vfm_device_set_driver_override(struct device *dev, const char *name)
{
	return device_set_driver_override(dev, name);
}

bool vfm_device_has_driver_override(struct device *dev)
{
	return device_has_driver_override(dev);
}

bool vfm_bus_has_device(const struct bus_type *bus, const char *name)
{
	struct device *dev = bus_find_device_by_name(bus, NULL, name);

	put_device(dev);
	return dev;
}

void vfm_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx);
}

int vfm_mutex_lock_killable(struct mutex *lock)
{
	return mutex_lock_killable(lock);
}

bool vfm_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

bool vfm_task_has_exited(struct task_struct *task)
{
	return READ_ONCE(task->exit_state) != 0;
}

void vfm_sleep_killable(u64 min_us, u64 max_us)
{
	ktime_t expires = us_to_ktime(min_us);
	u64 slack = (max_us - min_us) * NSEC_PER_USEC;

	set_current_state(TASK_KILLABLE);
	schedule_hrtimeout_range(&expires, slack, HRTIMER_MODE_REL);
}

/*
 * dprc_setup() makes a portal for use in atomic context: each command then waits with
 * interrupts off, for seconds if the MC hangs. That is for drivers whose interrupt messages
 * are programmed in atomic context; who does not do that can have a portal that sleeps.
 */
void vfm_mc_io_may_sleep(struct fsl_mc_io *mc_io)
{
	mc_io->flags &= ~FSL_MC_IO_ATOMIC_CONTEXT_PORTAL;
	mutex_init(&mc_io->mutex);
}

/*
 * What dprc_cleanup() does without its last command: in the portal there is another one in
 * flight, or the portal is somebody else's. Memory and mapping of mc_io are managed by the
 * device, and go when its driver has let go of it. Not for the root container, whose mc_io is
 * its maker's.
 */
void vfm_dprc_abandon(struct fsl_mc_device *mc_dev)
{
	dev_set_msi_domain(&mc_dev->dev, NULL);
	mc_dev->mc_io = NULL;
}

/*
 * Called with interrupts off when a line is activated: the message is kept, and who
 * requested the line programs it where a command to the device may sleep.
 */
static void keep_msi_message(struct msi_desc *desc, struct msi_msg *msg)
{
	desc->msg = *msg;
}

/*
 * The interrupt domain of the device is made before the vectors, and stays when there are none
 * for it. The device has no other block, so that all that it has now is of this call: nothing
 * where the domain could not be made (-ENODEV) or has no parent, and the core complains when it is
 * to free something of a domain that is not there.
 */
int vfm_msi_alloc(struct device *dev, unsigned int count)
{
	int ret = platform_device_msi_init_and_alloc_irqs(dev, count, keep_msi_message);

	if (ret && ret != -ENODEV && dev->msi.domain)
		platform_device_msi_free_irqs_all(dev);
	return ret;
}

void vfm_msi_free(struct device *dev)
{
	platform_device_msi_free_irqs_all(dev);
}

unsigned int vfm_msi_virq(struct device *dev, unsigned int vector)
{
	return msi_get_virq(dev, vector);
}

void vfm_msi_message(unsigned int virq, u64 *address, u32 *data)
{
	struct msi_desc *desc = irq_get_msi_desc(virq);

	if (!desc)
		return;
	*address = (u64)desc->msg.address_hi << 32 | desc->msg.address_lo;
	*data = desc->msg.data;
}

/*
 * Copies of a few words to and from user space. Their size is known here, so that they need
 * neither the checks nor the loops of a general copy.
 */
int vfm_user_read_u8(u8 *to, const u8 __user *from)
{
	return get_user(*to, from);
}

int vfm_user_read_u32(u32 *to, const u32 __user *from)
{
	return get_user(*to, from);
}

/* Each word has an instruction of its own: a loop would cost as much again. */
#define VFM_DEFINE_USER_READ(type, count)						\
int vfm_user_read_##count##_##type(type *to, const type __user *from)			\
{											\
	int i;										\
											\
	if (!user_read_access_begin(from, (count) * sizeof(type)))			\
		return -EFAULT;								\
	unrolled_count(count)								\
	for (i = 0; i < (count); i++)							\
		unsafe_get_user(to[i], from + i, fault);				\
	user_read_access_end();								\
	return 0;									\
fault:											\
	user_read_access_end();								\
	return -EFAULT;									\
}

#define VFM_DEFINE_USER_WRITE(type, count)						\
int vfm_user_write_##count##_##type(type __user *to, const type *from)			\
{											\
	int i;										\
											\
	if (!user_write_access_begin(to, (count) * sizeof(type)))			\
		return -EFAULT;								\
	unrolled_count(count)								\
	for (i = 0; i < (count); i++)							\
		unsafe_put_user(from[i], to + i, fault);				\
	user_write_access_end();							\
	return 0;									\
fault:											\
	user_write_access_end();							\
	return -EFAULT;									\
}

VFM_DEFINE_USER_READ(u32, 4)
VFM_DEFINE_USER_WRITE(u32, 4)
VFM_DEFINE_USER_READ(u64, 8)
VFM_DEFINE_USER_WRITE(u64, 8)

/*
 * Stores the eight words of an MC portal; the store of the first one submits the command.
 * What the first word is then: the answer may be there already.
 */
u64 vfm_portal_submit(void __iomem *portal, const u64 *words)
{
	int i;

	unrolled_count(7)
	for (i = 1; i < 8; i++)
		writeq_relaxed(words[i], portal + i * sizeof(u64));
	writeq(words[0], portal);
	return readq_relaxed(portal);
}

u64 vfm_portal_header(const void __iomem *portal)
{
	return readq_relaxed(portal);
}

/* All words but the first one. */
void vfm_portal_parameters(const void __iomem *portal, u64 *words)
{
	int i;

	unrolled_count(7)
	for (i = 1; i < 8; i++)
		words[i] = readq_relaxed(portal + i * sizeof(u64));
}

/* Prepares an area for pages of a device, none of which is mapped yet. */
void vfm_vma_set_io(struct vm_area_struct *vma, enum vfm_memory memory)
{
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	switch (memory) {
	case VFM_MEMORY_DEVICE:
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
		break;
	case VFM_MEMORY_CACHED:
		break;
	case VFM_MEMORY_WRITE_COMBINED:
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
		/* KVM then maps it Normal-NC rather than Device at stage 2. */
		vm_flags_set(vma, VM_ALLOW_ANY_UNCACHED);
		break;
	}
}

struct vm_area_struct *vfm_fault_vma(struct vm_fault *vmf)
{
	return vmf->vma;
}

/*
 * Maps all of an area, which begins at a physical address: who uses one page of a portal is
 * about to use the others, and a fault in the middle of its work would be late.
 */
vm_fault_t vfm_fault_map_io(struct vm_fault *vmf, phys_addr_t start)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long at;
	vm_fault_t ret = VM_FAULT_NOPAGE;

	for (at = vma->vm_start; at < vma->vm_end; at += PAGE_SIZE) {
		ret = vmf_insert_pfn(vma, at, PHYS_PFN(start + (at - vma->vm_start)));
		if (ret & VM_FAULT_ERROR)
			break;
	}
	return ret;
}

/* As vfio-pci does it: each file of a device has the device's own inode. */
void vfm_vfio_unmap(struct vfio_device *vdev)
{
	unmap_mapping_range(vdev->inode->i_mapping, 0, 0, true);
}

void vfm_vfio_lock_set(struct vfio_device *vdev)
{
	mutex_lock(&vdev->dev_set->lock);
}

void vfm_vfio_unlock_set(struct vfio_device *vdev)
{
	mutex_unlock(&vdev->dev_set->lock);
}

/*
 * For a device that is open while its driver goes, as it does when the machine goes down: the last
 * closing, and a first opening, look at dev->driver (vfio_df_device_last_close()). One opening
 * more, which nobody closes, keeps both away. To be called with dev_set->lock held.
 */
void vfm_vfio_keep_open(struct vfio_device *vdev)
{
	vdev->open_count++;
}

/* The comparison that the core makes where a driver has no match(). */
bool vfm_vfio_is_named(const struct vfio_device *vdev, const char *name)
{
	return !strcmp(dev_name(vdev->dev), name);
}

/* What KVM asks of a CPU before it takes a cacheable PFN mapping (arm64 mmu.c). */
bool vfm_kvm_maps_cacheable(void)
{
#ifdef CONFIG_ARM64
	return cpus_have_final_cap(ARM64_HAS_STAGE2_FWB) &&
	       cpus_have_final_cap(ARM64_HAS_CACHE_DIC);
#else
	return true;
#endif
}

bool vfm_machine_goes_down(void)
{
	return system_state >= SYSTEM_HALT && system_state <= SYSTEM_RESTART;
}

static const char * const policy_names[] = {
	[VFM_POLICY_STRICT] = "strict",
	[VFM_POLICY_LOG] = "log",
	[VFM_POLICY_OFF] = "off",
};

static int command_policy = VFM_POLICY_STRICT;

static int command_policy_set(const char *val, const struct kernel_param *kp)
{
	int policy = sysfs_match_string(policy_names, val);

	if (policy < 0) {
		pr_err("vfio-fsl-mc: command_policy is strict, log or off\n");
		return policy;
	}
	WRITE_ONCE(command_policy, policy);
	return 0;
}

static int command_policy_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", policy_names[READ_ONCE(command_policy)]);
}

static const struct kernel_param_ops command_policy_ops = {
	.set = command_policy_set,
	.get = command_policy_get,
};

module_param_cb(command_policy, &command_policy_ops, NULL, 0644);
MODULE_PARM_DESC(command_policy,
		 "What to do with user commands that would take a container away from the host: strict (answer NO_PRIVILEGE, default), log (warn and pass on), off");

enum vfm_policy vfm_command_policy(void)
{
	return READ_ONCE(command_policy);
}

static int command_timeout_set(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 10, 600000);
}

static const struct kernel_param_ops command_timeout_ops = {
	.set = command_timeout_set,
	.get = param_get_uint,
};

static unsigned int command_timeout_ms = 5000;
module_param_cb(command_timeout_ms, &command_timeout_ops, &command_timeout_ms, 0644);
MODULE_PARM_DESC(command_timeout_ms,
		 "How long to wait for the answer to an MC command, in milliseconds, 10 to 600000 (default 5000)");

u32 vfm_command_timeout_ms(void)
{
	return READ_ONCE(command_timeout_ms);
}

/* For an index that has been compared with the size. */
unsigned long vfm_index_nospec(unsigned long index, unsigned long size)
{
	return array_index_nospec(index, size);
}

bool vfm_may_print(void)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&limit);
}

void vfm_trace_bind(struct device *dev, bool bound)
{
	trace_vfio_fsl_mc_bind(dev, bound);
}

void vfm_trace_command(struct device *dev, u64 command, u64 answer, int result)
{
	trace_vfio_fsl_mc_command(dev, command, answer, result);
}

void vfm_trace_irq(struct device *dev, u32 index, u32 virq)
{
	trace_vfio_fsl_mc_irq(dev, index, virq);
}

void vfm_trace_reset(struct device *dev, int result)
{
	trace_vfio_fsl_mc_reset(dev, result);
}

/* In the order of abstractions/layout.rs. */
const size_t vfm_layout[] = {
	sizeof(struct vfio_device),
	offsetof(struct vfio_device, dev),
	offsetof(struct vfio_device, kvm),
	offsetof(struct vfio_device, dev_set),
	offsetof(struct vfio_device, device),
	sizeof(struct vfio_device_ops),
	offsetof(struct vfio_device_ops, device_feature),
	sizeof(struct vfio_region_info),
	sizeof(struct fsl_mc_device),
	offsetof(struct fsl_mc_device, mc_handle),
	offsetof(struct fsl_mc_device, mc_io),
	offsetof(struct fsl_mc_device, obj_desc),
	offsetof(struct fsl_mc_device, regions),
	sizeof(struct fsl_mc_obj_desc),
	offsetof(struct fsl_mc_obj_desc, irq_count),
	offsetof(struct fsl_mc_obj_desc, flags),
	sizeof(struct fsl_mc_io),
	offsetof(struct fsl_mc_io, portal_phys_addr),
	sizeof(struct fsl_mc_driver),
	offsetof(struct fsl_mc_driver, driver_managed_dma),
	sizeof(struct device),
	offsetof(struct device, parent),
	sizeof(struct device_driver),
	sizeof(struct module),
	sizeof(struct mutex),
	sizeof(struct notifier_block),
	sizeof(struct resource),
	sizeof(struct vm_area_struct),
	offsetof(struct vm_area_struct, vm_pgoff),
};
const size_t vfm_layout_entries = ARRAY_SIZE(vfm_layout);
