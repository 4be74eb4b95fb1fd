import CTermspanLinux

/// Whether what is written below a folder is encrypted on its disk, as far as the kernel tells: by the file system (fscrypt) or by a device
/// below it (dm-crypt, as of LUKS). What a disk does by itself nobody can tell.
package enum DiskEncryption: String, Sendable {
    case encrypted, plain, unknown

    package var text: String {
        switch self {
        case .encrypted: "encrypted"
        case .plain: "not encrypted"
        case .unknown: "not known to be encrypted"
        }
    }

    /// - Parameters:
    ///   - sys: where sysfs is mounted.
    ///   - mounts: proc(5)'s mountinfo.
    package init(of folder: String, sys: String = "/sys", mounts: String = "/proc/self/mountinfo") {
        self = Self.look(at: folder, sys, mounts)
    }

    private static func look(at folder: String, _ sys: String, _ mounts: String) -> Self {
        var (major, minor) = (UInt32(0), UInt32(0))
        let attribute = unsafe termspan_folder_encryption(folder, &major, &minor)
        if attribute < 0 { return .unknown }
        if attribute > 0 { return .encrypted }
        let device = "\(major):\(minor)"
        if let found = Self(device: device, sys) { return found }
        // File systems that have several devices, or none, have numbers that are no device's: then it is as it was mounted.
        guard let text = try? readFile(mounts, limit: 4 << 20),
            let source = Self.source(of: device, in: String(decoding: text, as: UTF8.self)),
            let number = Self.number(ofDevice: source, sys), let found = Self(device: number, sys)
        else { return .unknown }
        guard found == .encrypted else { return found }
        // Of several all have to be: btrfs tells of each.
        let systems = (try? namesInFolder(sys + "/fs/btrfs", limit: 4096)) ?? []
        for folder in systems.map({ "\(sys)/fs/btrfs/\($0)/devices" }) {
            let devices = ((try? namesInFolder(folder, limit: 4096)) ?? []).compactMap { Self.line("\(folder)/\($0)/dev") }
            if devices.contains(number) { return Self.together(devices.map { Self(device: $0, sys) ?? .unknown }) }
        }
        return .unknown
    }

    /// What is made of several.
    private static func together(_ all: [Self]) -> Self {
        all.isEmpty || all.contains(.plain) ? .plain : all.contains(.unknown) ? .unknown : .encrypted
    }

    /// What is mounted under a number: the part after the separator has the type and the source.
    private static func source(of device: String, in mountinfo: String) -> String? {
        for line in mountinfo.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 6, fields[2] == device, let separator = fields.firstIndex(of: "-"), separator + 2 < fields.count else {
                continue
            }
            return String(fields[separator + 2])
        }
        return nil
    }

    /// The number of `/dev/sda2`, or of `/dev/mapper/NAME`; by sysfs, since a sandbox may have no devices.
    private static func number(ofDevice path: String, _ sys: String) -> String? {
        guard path.hasPrefix("/dev/"), !path.contains(":"), let name = path.split(separator: "/").last else { return nil }
        let folder = sys + "/class/block/"
        if let number = Self.line(folder + name + "/dev") { return number }
        guard path.hasPrefix("/dev/mapper/"), let devices = try? namesInFolder(folder, limit: 4096) else { return nil }
        for device in devices where Self.line(folder + device + "/dm/name") == String(name) { return Self.line(folder + device + "/dev") }
        return nil
    }

    /// Of dm-crypt's; cryptsetup names what only keeps sums of a disk likewise.
    private static let formats = ["LUKS1", "LUKS2", "PLAIN", "LOOPAES", "TCRYPT", "BITLK", "FVAULT2"]

    /// nil where there is no such block device.
    private init?(device: String, _ sys: String, depth: Int = 0) {
        let folder = "\(sys)/dev/block/\(device)"
        guard depth < 16, Self.line(folder + "/dev") != nil else { return nil }
        if let uuid = Self.line(folder + "/dm/uuid"), Self.formats.contains(where: { uuid.hasPrefix("CRYPT-\($0)-") }) {
            self = .encrypted
            return
        }
        // Of a file on another disk.
        if Self.line(folder + "/loop/backing_file") != nil {
            self = .unknown
            return
        }
        // A volume, or a partition of a disk that is itself made of others.
        var below = (try? namesInFolder(folder + "/slaves", limit: 4096)) ?? []
        below = below.compactMap { Self.line("\(folder)/slaves/\($0)/dev") }
        if below.isEmpty, Self.line(folder + "/partition") != nil, let disk = Self.line(folder + "/../dev") { below = [disk] }
        self = Self.together(below.map { Self(device: $0, sys, depth: depth + 1) ?? .unknown })
    }

    private static func line(_ path: String) -> String? {
        guard let bytes = try? readFile(path, limit: 4096) else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}
