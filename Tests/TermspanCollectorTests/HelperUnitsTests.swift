import Testing

@testable import TermspanCollector

@Suite @MainActor struct HelperUnitsTests {
    @Test(
        arguments: [
            ("5903\n", nil), ("", "x did not come to an end"), ("\n", "x did not come to an end"),
            ("No VNC extension on display :3\n", "x said 'No VNC extension on display :3'"), ("5903\nfailed\n", "x said 'failed'"),
            ("\u{1B}[2Junable\r\nto open\n", "x said '[2Junable'"), ("1 2\n", "x said '1 2'"),
        ] as [(String, String?)])
    func aCommandSucceededOnlyIfItSaysSo(said: String, complaint: String?) {
        #expect(HelperUnits.complaint(Array(said.utf8), of: "x") == complaint)
    }

    @Test func whatItSaysIsPassedOnInPart() throws {
        let complaint = try #require(HelperUnits.complaint(Array(repeating: UInt8(ascii: "a"), count: 5_000), of: "x"))
        #expect(complaint.utf8.count < 200)
    }

    /// What a reader of cookies is shown beside the root's own file system: never what each user has in /run/user.
    @Test func foldersWithMountsAreThoseOfTheRoot() {
        let mounts = """
            22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
            23 22 0:21 / /proc rw,nosuid shared:2 - proc proc rw
            24 22 0:22 / /sys rw - sysfs sysfs rw
            25 22 0:23 / /run rw - tmpfs tmpfs rw
            26 25 0:24 / /run/user/2001 rw - tmpfs tmpfs rw
            27 22 0:25 / /boot/efi rw - vfat /dev/sda2 rw
            28 22 0:26 /user2 /home/user2 rw - nfs4 server:/home/user2 rw
            29 22 0:26 /user1 /home/user1 rw - nfs4 server:/home/user1 rw
            30 22 0:27 / /tmp rw - tmpfs tmpfs rw
            31 22 0:28 / /a\\040b rw - tmpfs tmpfs rw
            32 22 0:29 /cut
            """
        #expect(HelperUnits.foldersOfFiles(mounts: Array(mounts.utf8)) == ["/home", "/tmp"])
        #expect(HelperUnits.foldersOfFiles(mounts: []) == [])
    }
}
