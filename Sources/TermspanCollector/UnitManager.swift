import Glibc
package import TermspanBus

/// Starts transient units, and ends units: org.freedesktop.systemd1(5).
///
/// The sandbox is not set here: drop-ins for the units' name prefixes hold it, where an administrator can read it.
@MainActor
package final class UnitManager {
    private let connection: BusConnection

    private static let destination = "org.freedesktop.systemd1"
    private static let path = "/org/freedesktop/systemd1"
    private static let interface = "org.freedesktop.systemd1.Manager"

    package init(connection: BusConnection) {
        self.connection = connection
    }

    /// What a transient service is made of.
    package struct Service {
        package var name: String
        package var description: String
        /// The program's path, then its arguments.
        package var command: [String]
        /// The user to run as; nil leaves that to the drop-in.
        package var uid: UInt32?
        package var standardInput: Int32?
        package var standardOutput: Int32?
        /// What is shown of the machine, read-only, beside what the drop-in says.
        package var folders: [Folder] = []
    }

    /// A folder that a service is shown; none if it is not there.
    package struct Folder: Equatable, Sendable {
        package var path: String
        /// With what is mounted in it.
        package var isWhole: Bool
    }

    /// Asks for the start; `completion` comes when systemd has taken the job or refused it, not when the program runs.
    package func start(_ service: Service, completion: @escaping @MainActor (Result<Void, BusError>) -> Void) {
        connection.call(
            Self.destination, path: Self.path, interface: Self.interface, member: "StartTransientUnit", timeout: .seconds(20),
            arguments: { writer in
                writer.append(service.name)
                writer.append("fail")
                writer.array(of: "(sv)") { writer in
                    writer.unitProperty("Description", .string(service.description))
                    writer.unitProperty("Slice", .string("termspan.slice"))
                    writer.unitProperty("CollectMode", .string("inactive-or-failed"))
                    if let uid = service.uid { writer.unitProperty("User", .string(String(uid))) }
                    if !service.folders.isEmpty {
                        let folders = service.folders.map { folder in
                            BusValue.structure([
                                .string(folder.path), .string(folder.path), .bool(true), .uint64(folder.isWhole ? UInt64(MS_REC) : 0),
                            ])
                        }
                        writer.unitProperty("BindReadOnlyPaths", .array(of: "(ssbt)", folders))
                    }
                    if let input = service.standardInput { writer.unitProperty("StandardInputFileDescriptor", .unixFD(input)) }
                    if let output = service.standardOutput { writer.unitProperty("StandardOutputFileDescriptor", .unixFD(output)) }
                    writer.unitProperty(
                        "ExecStart",
                        .array(
                            of: "(sasb)",
                            [.structure([.string(service.command[0]), .strings(service.command), .bool(false)])]))
                }
                writer.array(of: "(sa(sv))") { _ in }
            },
            reply: { completion($0.map { _ in () }) })
    }

    /// Sends a signal to all processes of a unit; one that is gone already is as good.
    package func kill(_ name: String, _ signal: Int32, completion: @escaping @MainActor (BusError?) -> Void) {
        connection.call(
            Self.destination, path: Self.path, interface: Self.interface, member: "KillUnit",
            arguments: { writer in
                writer.append(name)
                writer.append("all")
                writer.append(signal)
            },
            reply: { result in
                guard case .failure(let error) = result, error.name != "org.freedesktop.systemd1.NoSuchUnit" else { return completion(nil) }
                completion(error)
            })
    }

    /// Asks for the end; a unit that is gone already is as good.
    package func stop(_ name: String) {
        connection.call(
            Self.destination, path: Self.path, interface: Self.interface, member: "StopUnit",
            arguments: { writer in
                writer.append(name)
                writer.append("replace")
            }, reply: { _ in })
    }
}

extension BusMessageWriter {
    @MainActor
    fileprivate mutating func unitProperty(_ name: String, _ value: BusValue) {
        structure("sv") { writer in
            writer.append(name)
            writer.append(.variant(value))
        }
    }
}
