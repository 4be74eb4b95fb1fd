import Foundation
import Testing

@testable import TermspanSystem

/// On trees as sysfs has them, since few machines have all of these disks.
@Suite struct DiskEncryptionTests {
    /// A sysfs with the devices that are made in it.
    private final class Tree {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("termspan-disks-\(UUID().uuidString)")
        /// The device that a folder of the test is on, which tells nothing of its own.
        let number: String
        var mounts: String { root.appendingPathComponent("mountinfo").path }

        init() throws {
            try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
            var status = stat()
            #expect(stat(root.path, &status) == 0)
            // As makedev(3) puts it together.
            let device = UInt64(status.st_dev)
            number = "\((device >> 8) & 0xFFF | (device >> 32) & ~0xFFF):\(device & 0xFF | (device >> 12) & ~0xFF)"
            for folder in ["dev/block", "class/block"] {
                try FileManager.default.createDirectory(at: root.appendingPathComponent(folder), withIntermediateDirectories: true)
            }
            try mount(source: "none")
        }

        deinit { try? FileManager.default.removeItem(at: root) }

        /// Adds a device; `parent` for a partition of it.
        func add(_ name: String, _ number: String, parent: String? = nil, slaves: [String] = [], files: [String: String] = [:]) throws {
            let folder = root.appendingPathComponent("devices/" + (parent.map { "\($0)/" } ?? "") + name)
            try FileManager.default.createDirectory(at: folder.appendingPathComponent("slaves"), withIntermediateDirectories: true)
            for (file, text) in files.merging(["dev": number], uniquingKeysWith: { $1 }) {
                let path = folder.appendingPathComponent(file)
                try FileManager.default.createDirectory(at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data("\(text)\n".utf8).write(to: path)
            }
            for link in ["dev/block/\(number)", "class/block/\(name)"] {
                try FileManager.default.createSymbolicLink(at: root.appendingPathComponent(link), withDestinationURL: folder)
            }
            for slave in slaves {
                try FileManager.default.createSymbolicLink(
                    at: folder.appendingPathComponent("slaves/\(slave)"),
                    withDestinationURL: root.appendingPathComponent("class/block/\(slave)"))
            }
        }

        func addBtrfs(_ uuid: String, devices: [String]) throws {
            let folder = root.appendingPathComponent("fs/btrfs/\(uuid)/devices")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for device in devices {
                try FileManager.default.createSymbolicLink(
                    at: folder.appendingPathComponent(device), withDestinationURL: root.appendingPathComponent("class/block/\(device)"))
            }
        }

        func mount(source: String) throws {
            let lines = "22 1 0:99999 / /other rw - ext4 /dev/sdz rw\n23 1 \(number) / / rw,relatime shared:1 - btrfs \(source) rw\n"
            try Data(lines.utf8).write(to: URL(fileURLWithPath: mounts))
        }

        var state: DiskEncryption { DiskEncryption(of: root.path, sys: root.path, mounts: mounts) }
    }

    @Test func aDiskOrPartitionIsPlain() throws {
        let tree = try Tree()
        try tree.add("sda", "7008:0")
        try tree.add("sda2", tree.number, parent: "sda", files: ["partition": "2"])
        #expect(tree.state == .plain)
    }

    @Test func whatLiesOnDmCryptIsEncryptedThroughAllLayers() throws {
        let tree = try Tree()
        try tree.add("sda", "7008:0")
        try tree.add("sda3", "7008:3", parent: "sda", files: ["partition": "3"])
        try tree.add("dm-0", "7254:0", slaves: ["sda3"], files: ["dm/uuid": "CRYPT-LUKS2-0123-sda3_crypt", "dm/name": "sda3_crypt"])
        try tree.add("dm-1", tree.number, slaves: ["dm-0"], files: ["dm/uuid": "LVM-abc", "dm/name": "vg-root"])
        #expect(tree.state == .encrypted)
    }

    @Test func oneThatIsNotMakesAllPlain() throws {
        let tree = try Tree()
        try tree.add("dm-0", "7254:0", files: ["dm/uuid": "CRYPT-LUKS2-a"])
        try tree.add("sdb", "7008:16")
        try tree.add("dm-1", tree.number, slaves: ["dm-0", "sdb"], files: ["dm/uuid": "LVM-abc"])
        #expect(tree.state == .plain)
    }

    @Test func aPartitionOfAnArrayIsAsTheArray() throws {
        let tree = try Tree()
        try tree.add("dm-0", "7254:0", files: ["dm/uuid": "CRYPT-LUKS2-a"])
        try tree.add("dm-1", "7254:1", files: ["dm/uuid": "CRYPT-LUKS2-b"])
        try tree.add("md0", "7009:0", slaves: ["dm-0", "dm-1"])
        try tree.add("md0p1", tree.number, parent: "md0", files: ["partition": "1"])
        #expect(tree.state == .encrypted)
    }

    @Test func whatHasNoDeviceOfItsOwnIsAsItsSource() throws {
        let tree = try Tree()
        try tree.add("dm-3", "7254:3", files: ["dm/uuid": "CRYPT-PLAIN-x", "dm/name": "home"])
        try tree.add("sdc1", "7008:33")
        #expect(tree.state == .unknown)
        try tree.mount(source: "/dev/mapper/home")
        // It may be one of several.
        #expect(tree.state == .unknown)
        try tree.addBtrfs("0123", devices: ["dm-3"])
        #expect(tree.state == .encrypted)
        try tree.addBtrfs("4567", devices: ["sdc1"])
        #expect(tree.state == .encrypted)
        try tree.mount(source: "/dev/sdc1")
        #expect(tree.state == .plain)
        for source in ["/dev/sda:/dev/mapper/home", "/dev/mapper/other", "/dev/gone", "server:/export", "sdc1"] {
            try tree.mount(source: source)
            #expect(tree.state == .unknown, "\(source)")
        }
    }

    @Test func aFileSystemOfSeveralDisksIsWhatTheyAllAre() throws {
        let tree = try Tree()
        try tree.add("dm-3", "7254:3", files: ["dm/uuid": "CRYPT-LUKS1-x", "dm/name": "one"])
        try tree.add("sdb", "7008:16")
        try tree.mount(source: "/dev/mapper/one")
        try tree.addBtrfs("0123", devices: ["dm-3", "sdb"])
        #expect(tree.state == .plain)
    }

    /// cryptsetup's names for what only keeps sums of a disk.
    @Test(arguments: ["CRYPT-VERITY-0123-root", "CRYPT-INTEGRITY-0123-data", "CRYPT-SUBDEV-0123-x", "LVM-CRYPT-LUKS2-x"])
    func whatOnlyChecksADiskEncryptsNothing(uuid: String) throws {
        let tree = try Tree()
        try tree.add("sda", "7008:0")
        try tree.add("dm-0", tree.number, slaves: ["sda"], files: ["dm/uuid": uuid])
        #expect(tree.state == .plain)
    }

    @Test func aFileOnAnotherDiskAndWhatIsNotThereAreUnknown() throws {
        let tree = try Tree()
        try tree.add("loop0", tree.number, files: ["loop/backing_file": "/srv/disk.img"])
        #expect(tree.state == .unknown)
        #expect(DiskEncryption(of: tree.root.path + "/none") == .unknown)
    }

    /// Devices that name each other don't make it go round for ever.
    @Test func aCircleEnds() throws {
        let tree = try Tree()
        try tree.add("dm-1", "7254:1")
        try tree.add("dm-2", tree.number, slaves: ["dm-1"])
        try FileManager.default.createSymbolicLink(
            at: tree.root.appendingPathComponent("devices/dm-1/slaves/dm-2"),
            withDestinationURL: tree.root.appendingPathComponent("class/block/dm-2"))
        #expect(tree.state == .unknown)
    }
}
