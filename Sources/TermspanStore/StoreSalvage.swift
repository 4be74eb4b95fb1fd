/// Reads what is whole of a damaged store, tree by tree and in the order of keys.
///
/// A page is believed if all of it adds up, its keys are in order and where its parent has them, and each row is one of its table; else nothing of it
/// is. What is under a page that is not is found by the file's pointer map, which says of each page which one refers to it, and which are free: these
/// are never looked at, so that nothing comes back that was removed.
struct StoreSalvage {
    /// What a row of a tree is.
    struct Shape: Sendable {
        enum Affinity: Sendable { case integer, text, blob, any }

        struct Column: Sendable {
            var affinity: Affinity
            var isRequired: Bool
            /// The row's number in its place, of which the row itself has nothing.
            var isRowid = false
        }

        var columns: [Column]
        /// Tables without it are kept as indexes are, with whole rows.
        var hasRowid: Bool
        /// How many columns the key has, of a tree without row numbers.
        var keyCount = 0

        func accepts(_ values: [SalvagedValue]) -> Bool {
            guard !values.isEmpty, values.count <= columns.count else { return false }
            return zip(values, columns).allSatisfy { value, column in
                switch (value, column.affinity) {
                case (.null, _): column.isRowid || !column.isRequired
                case (.integer, .integer), (.text, .text), (.blob, .blob), (_, .any): !column.isRowid
                default: false
                }
            }
        }
    }

    enum Item {
        case row(rowid: Int64, values: [SalvagedValue])
        /// Something is missing here: at least one page, or a row whose rest is.
        case hole
    }

    let pages: DamagedPages
    /// Pages that were a part of a tree already: none is twice.
    private var taken: PageSet
    /// Pages to which the pointer map says that others belong; nil until it is needed.
    private var parents: PageSet?
    private var map: (page: UInt32, bytes: [UInt8]?)?

    private static let deepest = 30

    init(_ pages: DamagedPages) {
        taken = PageSet(pages.count)
        self.pages = pages
    }

    // MARK: The schema

    /// A line of `sqlite_schema`.
    struct Entry {
        var type: String
        var name: String
        var table: String
        var root: UInt32
    }

    private static let schemaShape = Shape(
        columns: [.text, .text, .text, .integer].map { Shape.Column(affinity: $0, isRequired: true) }
            + [Shape.Column(affinity: .text, isRequired: false)], hasRowid: true)

    /// The trees that the file has.
    ///
    /// - Parameter layouts: where stores of ours have theirs, for what the file does not say itself; the first holds that agrees with what it says.
    mutating func trees(_ layouts: (_ known: [Entry], _ isWhole: Bool) throws -> [[Entry]]) rethrows -> [Entry] {
        var entries: [Entry] = []
        var isWhole = true
        walk(1, Self.schemaShape) { item in
            if case .hole = item { isWhole = false }
            guard case .row(_, let values) = item, values.count == 5, case .text(let type) = values[0], case .text(let name) = values[1],
                case .text(let table) = values[2], case .integer(let root) = values[3], let root = UInt32(exactly: root), root > 1
            else { return }
            entries.append(Entry(type: type, name: name, table: table, root: root))
        }
        guard !entries.isEmpty else { return [] }
        let known = Dictionary(entries.map { ($0.name, $0.root) }) { first, _ in first }
        for layout in try layouts(entries, isWhole) {
            let roots = Dictionary(layout.map { ($0.name, $0.root) }) { first, _ in first }
            guard known.allSatisfy({ roots[$0.key] == $0.value }) else { continue }
            return entries + layout.filter { known[$0.name] == nil }
        }
        return entries
    }

    // MARK: Trees

    /// Gives the rows of a tree in the order of their keys, and where some are missing.
    mutating func walk(_ root: UInt32, _ shape: Shape, _ body: (Item) throws -> Void) rethrows {
        try visit(root, shape, depth: 0, within: Bounds(), body)
    }

    /// The keys between which those of a page must be.
    private struct Bounds {
        var after: ArraySlice<SalvagedValue>?
        var before: ArraySlice<SalvagedValue>?
    }

    /// A page's rows; nil in place of one whose rest is missing.
    private struct Rows {
        var page: TreePage
        var rows: [[SalvagedValue]?] = []
    }

    private mutating func visit(
        _ number: UInt32, _ shape: Shape, depth: Int, within bounds: Bounds, _ body: (Item) throws -> Void
    ) rethrows {
        guard depth < Self.deepest, !taken.contains(number) else { return try body(.hole) }
        guard let found = sound(number, shape, isRoot: depth == 0, bounds) else {
            taken.insert(number)
            try body(.hole)
            // What it led to, by the order of what is in there.
            var children: [(page: UInt32, first: ArraySlice<SalvagedValue>?)] = []
            for child in self.children(of: number) { children.append((child, firstKey(under: child, shape, depth: depth + 1))) }
            children.sort { Self.isFirst($0.first, $1.first) }
            for child in children {
                try visit(child.page, shape, depth: depth + 1, within: bounds, body)
                try body(.hole)
            }
            return
        }
        taken.insert(number)
        let cells = found.page.cells
        var bounds = bounds
        let end = bounds.before
        for (index, cell) in cells.enumerated() {
            let key: ArraySlice<SalvagedValue>? =
                found.page.isTable
                ? [.integer(cell.rowid)] : found.rows[index].map { $0.prefix(shape.keyCount) }
            if found.page.isInner {
                bounds.before = key ?? end
                try visit(cell.child, shape, depth: depth + 1, within: bounds, body)
                bounds.after = key ?? bounds.after
            }
            guard found.page.kind != .innerTable else { continue }
            if let values = found.rows[index] { try body(.row(rowid: cell.rowid, values: values)) } else { try body(.hole) }
        }
        guard found.page.isInner else { return }
        bounds.before = end
        try visit(found.page.last, shape, depth: depth + 1, within: bounds, body)
    }

    /// A page that can be what it is said to be; else nil.
    private mutating func sound(_ number: UInt32, _ shape: Shape, isRoot: Bool, _ bounds: Bounds) -> Rows? {
        guard let bytes = pages.page(number), let page = TreePage(bytes, number: number, usable: pages.usable),
            page.isTable == shape.hasRowid, isRoot || !page.cells.isEmpty
        else { return nil }
        var found = Rows(page: page)
        if page.kind != .innerTable {
            for cell in page.cells {
                guard let content = content(of: cell, in: page, number) else {
                    found.rows.append(nil)
                    continue
                }
                guard let values = SalvagedRow.values(content), shape.accepts(values) else { return nil }
                found.rows.append(values)
            }
        }
        var last = bounds.after
        for (index, cell) in page.cells.enumerated() {
            guard let key = page.isTable ? [.integer(cell.rowid)] : found.rows[index]?.prefix(shape.keyCount) else { continue }
            if let last, !isOrdered(last, before: key) { return nil }
            // A table's inner pages have the last key of each child.
            if let end = bounds.before, !isOrdered(key, before: end), !(page.isTable && key == end) { return nil }
            last = key
        }
        guard page.isInner else { return found }
        // A page that is another's, put in this place, has children of which the map says so.
        let children = page.cells.map(\.child) + [page.last]
        var others = 0
        for child in children {
            guard let entry = entry(of: child) else { continue }
            if entry.type != Self.treePage || entry.parent != number { others += 1 }
        }
        return others * 2 > children.count ? nil : found
    }

    private func content(of cell: TreePage.Cell, in page: TreePage, _ number: UInt32) -> ArraySlice<UInt8>? {
        guard cell.overflow != 0 else { return page.bytes[cell.local] }
        var content = Array(page.bytes[cell.local])
        var next = cell.overflow
        while content.count < cell.length {
            guard let rest = pages.page(next), next > 1 else { return nil }
            next = rest.number32(0)
            content += rest[4..<min(pages.usable, 4 + cell.length - content.count)]
        }
        return next == 0 ? content[...] : nil
    }

    /// The first key under a page of which the parent is missing; nil where that can't be told.
    private mutating func firstKey(under number: UInt32, _ shape: Shape, depth: Int) -> ArraySlice<SalvagedValue>? {
        var number = number
        for _ in depth..<Self.deepest {
            guard let found = sound(number, shape, isRoot: false, Bounds()), let first = found.page.cells.first else { return nil }
            if !found.page.isInner { return found.page.isTable ? [.integer(first.rowid)] : found.rows[0]?.prefix(shape.keyCount) }
            number = first.child
        }
        return nil
    }

    private static func isFirst(_ one: ArraySlice<SalvagedValue>?, _ other: ArraySlice<SalvagedValue>?) -> Bool {
        guard let one else { return false }
        return other.map { isOrdered(one, before: $0) } ?? true
    }

    // MARK: The pointer map

    private static let freePage: UInt8 = 2
    private static let treePage: UInt8 = 5

    /// The page of the map that has a page's entry; nil for pages that have none.
    private func mapPage(of number: UInt32) -> UInt32? {
        guard pages.hasPointerMap, number >= 3 else { return nil }
        let locked = UInt32(DamagedPages.lockedByte / pages.size) + 1
        let each = UInt32(pages.usable / 5) + 1
        let first = (number - 2) / each * each + 2
        let map = first == locked ? first + 1 : first
        return number == locked || number <= map ? nil : map
    }

    /// What the map says of a page; nil where it says nothing, or is not whole itself.
    private mutating func entry(of number: UInt32) -> (type: UInt8, parent: UInt32)? {
        guard let page = mapPage(of: number), let bytes = mapBytes(page) else { return nil }
        let offset = Int(number - page - 1) * 5
        return (bytes[offset], bytes.number32(offset + 1))
    }

    private mutating func mapBytes(_ page: UInt32) -> [UInt8]? {
        if let map, map.page == page { return map.bytes }
        var bytes = pages.page(page)
        if let content = bytes {
            let there = Int(min(UInt32(pages.usable / 5), pages.count - page))
            let isWhole = (0..<there).allSatisfy { index in
                // The page in which SQLite locks has none.
                let number = page + 1 + UInt32(index)
                if number == UInt32(DamagedPages.lockedByte / pages.size) + 1 { return true }
                let (type, parent) = (content[index * 5], content.number32(index * 5 + 1))
                return (1...5).contains(type) && (type <= Self.freePage ? parent == 0 : parent > 0 && parent <= pages.count)
            }
            if !isWhole { bytes = nil }
        }
        map = (page, bytes)
        return bytes
    }

    /// The pages of which the map says that this one leads to them, and that no other does.
    private mutating func children(of number: UInt32) -> [UInt32] {
        if parents == nil {
            var set = PageSet(pages.count)
            forEachTreePage { _, parent in set.insert(parent) }
            parents = set
        }
        guard parents?.contains(number) == true else { return [] }
        var children: [UInt32] = []
        forEachTreePage { page, parent in if parent == number { children.append(page) } }
        return children.filter { !taken.contains($0) }
    }

    private mutating func forEachTreePage(_ body: (_ page: UInt32, _ parent: UInt32) -> Void) {
        guard pages.count >= 3 else { return }
        for number in 3...pages.count {
            guard let entry = entry(of: number), entry.type == Self.treePage else { continue }
            body(number, entry.parent)
        }
    }
}

/// A set of pages' numbers.
private struct PageSet {
    private var words: [UInt64]

    init(_ count: UInt32) { words = [UInt64](repeating: 0, count: Int(count) / 64 + 1) }

    func contains(_ number: UInt32) -> Bool {
        let word = Int(number) / 64
        return word < words.count && words[word] >> UInt64(number % 64) & 1 == 1
    }

    mutating func insert(_ number: UInt32) {
        let word = Int(number) / 64
        if word < words.count { words[word] |= 1 << UInt64(number % 64) }
    }
}
