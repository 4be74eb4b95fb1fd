import TermspanBus
import TermspanStore

extension ActivityRow {
    /// Reads a row of CollectActivity.
    init?(properties: [String: BusValue]) {
        self.init(
            fields: properties.compactMapValues { value in
                switch value {
                case .string(let text): .string(text)
                case .uint32(let number): .uint32(number)
                case .uint64(let number): .uint64(number)
                case .int64(let number): .int64(number)
                default: nil
                }
            })
    }

    /// The row as CollectActivity gives it.
    var properties: [String: BusValue] {
        fields.mapValues { field in
            switch field {
            case .string(let text): .string(text)
            case .uint32(let number): .uint32(number)
            case .uint64(let number): .uint64(number)
            case .int64(let number): .int64(number)
            }
        }
    }
}
