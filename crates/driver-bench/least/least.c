// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * The least that a vfio-fsl-mc can do for each call that is measured: what the kernel asks of it,
 * what the user asked for, and the checks without which the user would get something else. It
 * locks nothing, remembers nothing and counts nothing, so that it is of no use but to be
 * measured: what it costs, no driver saves.
 */
#include <linux/eventfd.h>
#include <linux/fsl/mc.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unroll.h>
#include <linux/vfio.h>

#define NAME "vfio-fsl-mc"

/* Bytes of a command. */
#define MC_CMD_SIZE 64

/* Where the number of a region is in a position. */
#define REGION_SHIFT 40

/* Regions of an object that are reported, at most. */
#define REGIONS 2

/* Interrupts of a container, as many as are measured and some more. */
#define VECTORS 8

struct least {
	struct vfio_device vdev;
	struct fsl_mc_device *mc_dev;
	struct fsl_mc_device *container;
	/* The container's. */
	void __iomem *portal;
	u32 regions;
	u32 region_flags;
	u64 region_sizes[REGIONS];
	/* Of interrupt 0, the only one. */
	struct eventfd_ctx *trigger;
};

static struct fsl_mc_driver least_driver;

static struct least *of(struct vfio_device *vdev)
{
	return container_of(vdev, struct least, vdev);
}

static u64 command(void __iomem *portal, u16 id, u16 token, u64 parameter)
{
	writeq_relaxed(parameter, portal + 8);
	writeq((u64)id << 48 | (u64)token << 32, portal);
	return readq_relaxed(portal);
}

static void reset(struct least *least)
{
	struct fsl_mc_device *mc_dev = least->mc_dev;
	u16 token;

	if (is_fsl_mc_bus_dprc(mc_dev)) {
		/* The objects in it stay. */
		command(least->portal, 0x0052, mc_dev->mc_handle,
			(u64)1 << 32 | mc_dev->obj_desc.id);
	} else if (is_fsl_mc_bus_dpbp(mc_dev)) {
		token = command(least->portal, 0x8041, 0, mc_dev->obj_desc.id) >> 32;
		command(least->portal, 0x0051, token, 0);
		command(least->portal, 0x8001, token, 0);
	}
}

static int least_open(struct vfio_device *vdev)
{
	return 0;
}

static void least_close(struct vfio_device *vdev)
{
	struct least *least = of(vdev);

	reset(least);
	if (least->mc_dev->irqs) {
		free_irq(least->mc_dev->irqs[0]->virq, least);
		fsl_mc_free_irqs(least->mc_dev);
	}
	if (least->trigger)
		eventfd_ctx_put(least->trigger);
	least->trigger = NULL;
}

static long get_info(struct least *least, struct vfio_device_info __user *to)
{
	u32 size;

	if (get_user(size, &to->argsz))
		return -EFAULT;
	if (size < offsetofend(struct vfio_device_info, num_irqs))
		return -EINVAL;
	if (!user_write_access_begin(to, sizeof(*to)))
		return -EFAULT;
	unsafe_put_user(VFIO_DEVICE_FLAGS_FSL_MC | VFIO_DEVICE_FLAGS_RESET, &to->flags, fault);
	unsafe_put_user(least->mc_dev->obj_desc.region_count, &to->num_regions, fault);
	unsafe_put_user(least->mc_dev->obj_desc.irq_count, &to->num_irqs, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

static long get_irq_info(struct least *least, struct vfio_irq_info __user *to)
{
	u32 size, index;

	if (get_user(size, &to->argsz) || get_user(index, &to->index))
		return -EFAULT;
	if (size < sizeof(*to) || index >= least->mc_dev->obj_desc.irq_count)
		return -EINVAL;
	if (!user_write_access_begin(to, sizeof(*to)))
		return -EFAULT;
	unsafe_put_user(VFIO_IRQ_INFO_EVENTFD, &to->flags, fault);
	unsafe_put_user(1, &to->count, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

static irqreturn_t interrupt(int irq, void *least)
{
	eventfd_signal(((struct least *)least)->trigger);
	return IRQ_HANDLED;
}

static int request(struct least *least)
{
	int ret;

	ret = fsl_mc_populate_irq_pool(least->container, VECTORS);
	if (ret)
		return ret;
	ret = fsl_mc_allocate_irqs(least->mc_dev);
	if (ret)
		return ret;
	return request_irq(least->mc_dev->irqs[0]->virq, interrupt, 0, NAME, least);
}

static long set_irqs(struct least *least, struct vfio_irq_set __user *set)
{
	struct eventfd_ctx *trigger;
	struct vfio_irq_set head;
	s32 fd;
	u8 yes;

	if (copy_from_user(&head, set, sizeof(head)))
		return -EFAULT;
	/* The only interrupt that is measured. */
	if (head.argsz < sizeof(head) || head.index || head.start || head.count > 1)
		return -EINVAL;
	if (head.flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (get_user(fd, (s32 __user *)set->data))
			return -EFAULT;
		trigger = eventfd_ctx_fdget(fd);
		if (IS_ERR(trigger))
			return PTR_ERR(trigger);
		if (least->trigger)
			eventfd_ctx_put(least->trigger);
		least->trigger = trigger;
		return least->mc_dev->irqs ? 0 : request(least);
	}
	if (!least->trigger)
		return 0;
	if (!head.count) {
		eventfd_ctx_put(least->trigger);
		least->trigger = NULL;
		return 0;
	}
	if (head.flags & VFIO_IRQ_SET_DATA_BOOL && get_user(yes, set->data))
		return -EFAULT;
	eventfd_signal(least->trigger);
	return 0;
}

static long least_ioctl(struct vfio_device *vdev, unsigned int number, unsigned long arg)
{
	struct least *least = of(vdev);

	switch (number) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(least, (void __user *)arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(least, (void __user *)arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(least, (void __user *)arg);
	case VFIO_DEVICE_RESET:
		reset(least);
		return 0;
	}
	return -ENOTTY;
}

static int least_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
			     struct vfio_info_cap *caps)
{
	if (info->index >= of(vdev)->regions)
		return -EINVAL;
	info->flags = of(vdev)->region_flags;
	info->size = of(vdev)->region_sizes[info->index];
	info->offset = (u64)info->index << REGION_SHIFT;
	return 0;
}

static ssize_t least_read(struct vfio_device *vdev, char __user *to, size_t count, loff_t *at)
{
	void __iomem *portal = of(vdev)->portal;
	u64 __user *words = (u64 __user *)to;
	int i;

	/* The only region that is read, at its start. */
	if (*at || count != MC_CMD_SIZE)
		return -EINVAL;
	if (!user_write_access_begin(words, MC_CMD_SIZE))
		return -EFAULT;
	unrolled_count(8)
	for (i = 0; i < 8; i++)
		unsafe_put_user(readq_relaxed(portal + i * 8), words + i, fault);
	user_write_access_end();
	return MC_CMD_SIZE;
fault:
	user_write_access_end();
	return -EFAULT;
}

static ssize_t least_write(struct vfio_device *vdev, const char __user *from, size_t count,
			   loff_t *at)
{
	void __iomem *portal = of(vdev)->portal;
	const u64 __user *user = (const u64 __user *)from;
	u64 words[8];
	int i;

	if (*at || count != MC_CMD_SIZE)
		return -EINVAL;
	if (!user_read_access_begin(user, MC_CMD_SIZE))
		return -EFAULT;
	unrolled_count(8)
	for (i = 0; i < 8; i++)
		unsafe_get_user(words[i], user + i, fault);
	user_read_access_end();
	unrolled_count(7)
	for (i = 1; i < 8; i++)
		writeq_relaxed(words[i], portal + i * 8);
	writeq(words[0], portal);
	while ((readq_relaxed(portal) >> 16 & 0xff) == MC_CMD_STATUS_READY)
		;
	return MC_CMD_SIZE;
fault:
	user_read_access_end();
	return -EFAULT;
}

static int least_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	u64 index = vma->vm_pgoff >> (REGION_SHIFT - PAGE_SHIFT);
	u64 size = vma->vm_end - vma->vm_start;
	struct resource *region;

	if (index >= of(vdev)->regions)
		return -EINVAL;
	region = &of(vdev)->mc_dev->regions[index];
	if (size > resource_size(region))
		return -EINVAL;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return remap_pfn_range(vma, vma->vm_start, PHYS_PFN(region->start), size,
			       vma->vm_page_prot);
}

static int least_init(struct vfio_device *vdev)
{
	struct fsl_mc_device *mc_dev = to_fsl_mc_device(vdev->dev);
	int i;

	of(vdev)->mc_dev = mc_dev;
	of(vdev)->region_flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (!is_fsl_mc_bus_dprc(mc_dev))
		of(vdev)->region_flags |= VFIO_REGION_INFO_FLAG_MMAP;
	of(vdev)->regions = min(mc_dev->obj_desc.region_count, REGIONS);
	for (i = 0; i < of(vdev)->regions; i++)
		of(vdev)->region_sizes[i] = resource_size(&mc_dev->regions[i]);
	return vfio_assign_device_set(vdev, is_fsl_mc_bus_dprc(mc_dev) ? vdev->dev :
									 vdev->dev->parent);
}

static const struct vfio_device_ops least_ops = {
	.name = NAME,
	.init = least_init,
	.open_device = least_open,
	.close_device = least_close,
	.ioctl = least_ioctl,
	.get_region_info_caps = least_region_info,
	.read = least_read,
	.write = least_write,
	.mmap = least_mmap,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
};

static int least_probe(struct fsl_mc_device *mc_dev)
{
	struct least *least;
	int ret;

	least = vfio_alloc_device(least, vdev, &mc_dev->dev, &least_ops);
	if (IS_ERR(least))
		return PTR_ERR(least);
	least->container = mc_dev;
	if (is_fsl_mc_bus_dprc(mc_dev)) {
		ret = dprc_setup(mc_dev);
		if (ret)
			goto put;
	} else {
		least->container = to_fsl_mc_device(mc_dev->dev.parent);
	}
	least->portal = least->container->mc_io->portal_virt_addr;
	ret = vfio_register_group_dev(&least->vdev);
	if (ret)
		goto close;
	dev_set_drvdata(&mc_dev->dev, least);
	if (!is_fsl_mc_bus_dprc(mc_dev))
		return 0;
	ret = dprc_scan_container(mc_dev, false);
	if (!ret)
		return 0;
	vfio_unregister_group_dev(&least->vdev);
	dprc_remove_devices(mc_dev, NULL, 0);
close:
	if (is_fsl_mc_bus_dprc(mc_dev))
		dprc_cleanup(mc_dev);
put:
	vfio_put_device(&least->vdev);
	return ret;
}

static void least_remove(struct fsl_mc_device *mc_dev)
{
	struct least *least = dev_get_drvdata(&mc_dev->dev);

	vfio_unregister_group_dev(&least->vdev);
	if (is_fsl_mc_bus_dprc(mc_dev)) {
		dprc_remove_devices(mc_dev, NULL, 0);
		fsl_mc_cleanup_irq_pool(mc_dev);
		dprc_cleanup(mc_dev);
	}
	vfio_put_device(&least->vdev);
}

static struct fsl_mc_driver least_driver = {
	.driver = { .name = NAME },
	.probe = least_probe,
	.remove = least_remove,
	.driver_managed_dma = true,
};

/* The objects of a container go where it is. */
static int follow(struct notifier_block *nb, unsigned long action, void *data)
{
	struct device *dev = data;

	if (action == BUS_NOTIFY_ADD_DEVICE && dev->parent &&
	    dev->parent->driver == &least_driver.driver)
		device_set_driver_override(dev, NAME);
	return 0;
}

static struct notifier_block follower = { .notifier_call = follow };

static int __init least_load(void)
{
	int ret = bus_register_notifier(&fsl_mc_bus_type, &follower);

	if (ret)
		return ret;
	ret = fsl_mc_driver_register(&least_driver);
	if (ret)
		bus_unregister_notifier(&fsl_mc_bus_type, &follower);
	return ret;
}
module_init(least_load);

static void __exit least_unload(void)
{
	fsl_mc_driver_unregister(&least_driver);
	bus_unregister_notifier(&fsl_mc_bus_type, &follower);
}
module_exit(least_unload);

MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("The least that a driver of DPAA2 containers could do, to be measured");
