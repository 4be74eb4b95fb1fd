import Testing

@testable import TermspanCore

@Suite struct FactTests {
    @Test func theDomainIsTheFirstThatIsSaid() {
        let sssd = "[sssd]\nservices = nss\ndomains = example.com , other\n[domain/example.com]\ndomains = no\n"
        let samba = "[global]\n   Realm = EXAMPLE.ORG\n[share]\nrealm = no\n"
        let kerberos = "# default_realm = NO\n[libdefaults]\n\tdefault_realm = EXAMPLE.NET\n[realms]\n"
        #expect(SystemFiles.primaryDomain(sssd: sssd, samba: samba, kerberos: kerberos) == "example.com")
        #expect(SystemFiles.primaryDomain(sssd: "[sssd]\n", samba: samba, kerberos: kerberos) == "EXAMPLE.ORG")
        #expect(SystemFiles.primaryDomain(sssd: "", samba: "[global]\nworkgroup = X\n", kerberos: kerberos) == "EXAMPLE.NET")
        #expect(SystemFiles.primaryDomain(sssd: "domains = no\n[", samba: "\u{0}=\n[]\n;realm=no", kerberos: "[libdefaults") == "")
    }

    @Test(arguments: [
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"), ("../usr/share/zoneinfo/UTC", "UTC"),
        ("/usr/share/zoneinfo/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"), ("/opt/zone", ""), ("", ""), ("zoneinfo/", ""),
    ]) func aZoneIsCalledAsItsFileIs(target: String, zone: String) { #expect(SystemFiles.timeZone(ofLink: target) == zone) }

    @Test func aValueIsBounded() {
        #expect(Fact.value("name") == "name")
        #expect(Fact.value(String(repeating: "ä", count: 5000)).utf8.count <= 1026)
        #expect(Set(Fact.ofComputer + Fact.ofUser) == Set(Fact.allCases))
    }
}
