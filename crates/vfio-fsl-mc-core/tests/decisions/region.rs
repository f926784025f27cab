// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Regions: every mapping and access around the edges, against a model that
//! computes in 128 bits.

use super::{type_name, Cases};
use proptest::prelude::*;
use vfio_fsl_mc_core::region::{
    check_access, check_map, position, split, Cpu, MapRequest, Mapping, MemoryKind, ObjectKind,
    Region,
};
use vfio_fsl_mc_core::Errno;

const PAGES: [u64; 3] = [0x1000, 0x4000, 0x1_0000];
const KINDS: [ObjectKind; 4] = [
    ObjectKind::Dprc,
    ObjectKind::Dpmcp,
    ObjectKind::Dpio,
    ObjectKind::Other,
];
const A72: Cpu = Cpu {
    can_map_cacheable_into_guest: false,
    bound_index,
};
const N2: Cpu = Cpu {
    can_map_cacheable_into_guest: true,
    bound_index,
};

/// An index that is not below the length is none to be bounded.
fn bound_index(index: usize, length: usize) -> usize {
    assert!(index < length);
    index
}

fn plain(base: u64, size: u64) -> Region {
    Region {
        base,
        size,
        cacheable: false,
        shareable: false,
        read_only: false,
    }
}

/// What the stock driver maps of a region, in exact numbers: the physical
/// address and the length.
fn stock(
    regions: &[Region],
    kind: ObjectKind,
    request: &MapRequest,
    page_size: u64,
) -> Option<(u128, u128)> {
    let page = u128::from(page_size);
    let (start, end) = (u128::from(request.start), u128::from(request.end));
    let pages_of_region = (1u128 << 40) / page;
    let index = u128::from(request.page_offset) / pages_of_region;
    let offset = u128::from(request.page_offset) % pages_of_region * page;

    if end < start || start % page != 0 || end % page != 0 || !request.shared {
        return None;
    }
    if index >= regions.len() as u128 {
        return None;
    }
    let region = &regions[index as usize];
    let (base, size) = (u128::from(region.base), u128::from(region.size));
    if kind == ObjectKind::Dprc || base % page != 0 || size % page != 0 {
        return None;
    }
    if region.read_only && request.write {
        return None;
    }
    if size < page || offset + (end - start) > size {
        return None;
    }
    // What the stock driver leaves to others: the kernel makes no empty
    // mapping, and no region leaves the address space.
    if start == end || base + offset + (end - start) > 1 << 64 {
        return None;
    }
    Some((base + offset, end - start))
}

fn check(regions: &[Region], kind: ObjectKind, request: &MapRequest, page_size: u64) -> bool {
    let got = check_map(regions, kind, request, page_size, N2, false);
    match (got, stock(regions, kind, request, page_size)) {
        (Ok(mapping), Some((physical, length))) => {
            assert_eq!(
                u128::from(mapping.physical),
                physical,
                "{request:?} of {regions:?}"
            );
            assert_eq!(
                u128::from(mapping.length),
                length,
                "{request:?} of {regions:?}"
            );
            let index = split(request.page_offset.wrapping_mul(page_size)).0 as usize;
            let region = regions[index];
            assert_eq!(mapping.forbid_write, region.read_only);
            // Nothing outside of the region is mapped.
            assert!(physical >= u128::from(region.base));
            assert!(physical + length <= u128::from(region.base) + u128::from(region.size));
            true
        }
        (Err(Errno::Inval), None) => false,
        (got, model) => {
            panic!("{request:?} of {regions:?}, {kind:?}, page {page_size:#x}: {got:?}, {model:?}")
        }
    }
}

#[test]
fn mappings_are_those_of_the_stock_driver() {
    let (mut made, mut refused) = (0u64, 0u64);
    let mut cases = Cases::one_in_miri(23);
    for page in PAGES {
        let per_region = (1 << 40) / page;
        let last_page = u64::MAX - page + 1;
        let bases = [
            0,
            64,
            page - 1,
            page,
            page + 8,
            0x8_0c00_0000,
            last_page - page,
            last_page,
        ];
        let sizes = [
            0,
            1,
            64,
            page - 1,
            page,
            page + 1,
            2 * page,
            3 * page,
            1 << 40,
            (1 << 40) + page,
            last_page - page,
            last_page,
            u64::MAX,
        ];
        let offsets = [
            0,
            1,
            2,
            3,
            per_region - 1,
            per_region,
            per_region + 1,
            per_region + 2,
            2 * per_region - 1,
            2 * per_region,
            255 * per_region,
            u64::MAX / page,
            u64::MAX - 1,
            u64::MAX,
            1 << 32,
            1 << 60,
        ];
        let starts = [
            0,
            1,
            page - 1,
            page,
            2 * page,
            last_page - page,
            last_page,
            u64::MAX,
        ];
        let lengths = [
            0,
            1,
            page - 1,
            page,
            page + 1,
            2 * page,
            3 * page,
            4 * page,
            1 << 40,
        ];
        for base in bases {
            for size in sizes {
                for read_only in [false, true] {
                    let first = Region {
                        read_only,
                        ..plain(base, size)
                    };
                    let regions = [first, plain(0x4000_0000, 2 * page)];
                    for page_offset in offsets {
                        for start in starts {
                            if !cases.take() {
                                continue;
                            }
                            for length in lengths {
                                let end = start.wrapping_add(length);
                                for write in [false, true] {
                                    let request = MapRequest {
                                        page_offset,
                                        start,
                                        end,
                                        shared: true,
                                        read: !write,
                                        write,
                                    };
                                    let ok = check(&regions, ObjectKind::Dpio, &request, page);
                                    *if ok { &mut made } else { &mut refused } += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(
        made > 1000 && refused > 1000,
        "{made} made, {refused} refused"
    );
}

#[test]
fn who_may_map_what() {
    let page = 0x1000;
    let regions = [Region {
        read_only: true,
        ..plain(0x1_0000, 4 * page)
    }];
    let (mut made, mut refused) = (0, 0);
    for kind in KINDS {
        for bits in 0..8 {
            for count in [0, 1] {
                let request = MapRequest {
                    page_offset: 0,
                    start: 0x7000_0000,
                    end: 0x7000_0000 + page,
                    shared: bits & 1 != 0,
                    read: bits & 2 != 0,
                    write: bits & 4 != 0,
                };
                let ok = check(&regions[..count], kind, &request, page);
                *if ok { &mut made } else { &mut refused } += 1;
            }
        }
    }
    // Shared and not to be written, in three kinds: with and without reading.
    assert_eq!((made, refused), (6, 58));
}

#[test]
fn a_page_of_no_size_maps_nothing() {
    let request = MapRequest {
        page_offset: 0,
        start: 0,
        end: 0x1000,
        shared: true,
        read: true,
        write: true,
    };
    let regions = [plain(0, 0x1_0000)];
    for page in [0, 3, 0x1001, 1 << 41, 1 << 63, u64::MAX] {
        let map = check_map(&regions, ObjectKind::Other, &request, page, N2, false);
        assert_eq!(map, Err(Errno::Inval), "{page:#x}");
        assert_eq!(
            regions[0].info_flags(ObjectKind::Other, page) & 4,
            0,
            "{page:#x}"
        );
    }
}

#[test]
fn memory_is_cached_unless_a_guest_could_not_have_it() {
    for bits in 0..16 {
        let [cacheable, shareable, for_guest, able] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let region = Region {
            cacheable,
            shareable,
            ..plain(0, 0x1000)
        };
        let cpu = Cpu {
            can_map_cacheable_into_guest: able,
            bound_index,
        };
        let expected = match (bits & 3 == 3, for_guest, able) {
            (false, ..) => MemoryKind::Device,
            (true, true, false) => MemoryKind::WriteCombined,
            (true, ..) => MemoryKind::Cached,
        };
        assert_eq!(region.memory(cpu, for_guest), expected);
        let request = MapRequest {
            page_offset: 0,
            start: 0,
            end: 0x1000,
            shared: true,
            read: true,
            write: true,
        };
        let mapping = check_map(
            &[region],
            ObjectKind::Dpio,
            &request,
            0x1000,
            cpu,
            for_guest,
        );
        let expected = Mapping {
            physical: 0,
            length: 0x1000,
            memory: expected,
            forbid_write: false,
        };
        assert_eq!(mapping, Ok(expected));
    }
    let portal = Region {
        cacheable: true,
        shareable: true,
        ..plain(0, 0x1_0000)
    };
    assert_eq!(portal.memory(A72, true), MemoryKind::WriteCombined);
    assert_eq!(portal.memory(N2, true), MemoryKind::Cached);
}

/// Read 1, write 2, map 4: only whole pages are mapped, and no container's.
#[test]
fn information_is_the_stock_drivers() {
    for page in PAGES {
        for kind in KINDS {
            for read_only in [false, true] {
                for base in [
                    0,
                    64,
                    page - 1,
                    page,
                    page + 1,
                    u64::MAX,
                    u64::MAX - page + 1,
                ] {
                    for size in [0, 64, page - 1, page, page + 64, 3 * page, u64::MAX] {
                        let region = Region {
                            read_only,
                            ..plain(base, size)
                        };
                        let whole = base % page == 0 && size % page == 0;
                        let map = if whole && kind != ObjectKind::Dprc {
                            4
                        } else {
                            0
                        };
                        let write = if read_only { 0 } else { 2 };
                        assert_eq!(region.info_flags(kind, page), 1 | write | map);
                    }
                }
            }
        }
    }
}

#[test]
fn only_commands_are_read_and_written() {
    let mut allowed = Vec::new();
    for kind in KINDS {
        for size in [0, 63, 64, 65, 0x1_0000, u64::MAX] {
            for read_only in [false, true] {
                let regions = [Region {
                    read_only,
                    ..plain(0, size)
                }; 2];
                for there in 0..=2 {
                    for index in [0, 1, 2, 0xff_ffff, 1 << 32, u64::MAX] {
                        for offset in [0, 1, 8, 64, (1 << 40) - 1, u64::MAX] {
                            for count in [0, 1, 8, 63, 64, 65, 128, 0x1_0000, u64::MAX] {
                                for write in [false, true] {
                                    let regions = &regions[..there];
                                    let access =
                                        check_access(regions, kind, index, offset, count, write);
                                    if access.is_ok() {
                                        allowed.push((kind, size, read_only, write));
                                        assert!(there > 0);
                                        assert_eq!((index, offset, count), (0, 0, 64));
                                    } else {
                                        assert_eq!(access, Err(Errno::Inval));
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    let mut expected = Vec::new();
    for kind in [ObjectKind::Dprc, ObjectKind::Dpmcp] {
        for size in [64, 65, 0x1_0000, u64::MAX] {
            // One region or two.
            for (read_only, write) in [(false, false), (false, true), (true, false)] {
                expected.extend([(kind, size, read_only, write); 2]);
            }
        }
    }
    let key = |a: &(ObjectKind, u64, bool, bool)| (a.0 as u8, a.1, a.2, a.3);
    allowed.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(allowed, expected);
}

#[test]
fn kinds_have_names() {
    assert_eq!(ObjectKind::from_name(&type_name("dprc")), ObjectKind::Dprc);
    assert_eq!(
        ObjectKind::from_name(&type_name("dpmcp")),
        ObjectKind::Dpmcp
    );
    assert_eq!(ObjectKind::from_name(&type_name("dpio")), ObjectKind::Dpio);
    for other in ["", "dpni", "dprc2", "dpr", "DPRC", "dpmcpdpmcpdpmcpd"] {
        assert_eq!(
            ObjectKind::from_name(&type_name(other)),
            ObjectKind::Other,
            "{other}"
        );
    }
    let mut junk = type_name("dprc");
    junk[9] = b'x';
    assert_eq!(ObjectKind::from_name(&junk), ObjectKind::Dprc);
}

proptest! {
    #[test]
    fn offsets_come_apart_again(index in 0u32..1 << 24, offset in 0u64..1 << 40) {
        prop_assert_eq!(split(position(index) + offset), (u64::from(index), offset));
    }

    #[test]
    fn any_offset_comes_apart(at: u64) {
        let (index, offset) = split(at);
        prop_assert!(offset < 1 << 40);
        prop_assert_eq!(index * (1 << 40) + offset, at);
    }

    #[test]
    fn any_mapping_is_the_stock_drivers(
        bases in any::<[u64; 3]>(),
        sizes in any::<[u64; 3]>(),
        bits in any::<u32>(),
        (page_offset, start, end) in any::<(u64, u64, u64)>(),
        shift in 0u32..64,
        page in proptest::sample::select(&PAGES[..]),
    ) {
        // Large and small numbers, whole pages and not.
        let whole = |value: u64| if bits & 1 != 0 { value / page * page } else { value };
        let region = |at: usize| Region {
            read_only: bits & 2 << at != 0,
            ..plain(whole(bases[at] >> shift), whole(sizes[at] >> (shift / 2)))
        };
        let regions = [region(0), region(1), region(2)];
        let start = whole(start >> (shift / 4));
        let request = MapRequest {
            page_offset: page_offset >> shift,
            start,
            end: whole(start.wrapping_add(end >> shift)),
            shared: true,
            read: bits & 64 != 0,
            write: bits & 128 != 0,
        };
        check(&regions, KINDS[(bits >> 8) as usize % 4], &request, page);
    }
}
