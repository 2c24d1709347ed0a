// SPDX-License-Identifier: Apache-2.0
#include "lib/cache/lmdb_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/descriptor.hpp"

namespace postfathom {
namespace {

constexpr std::uint32_t lmdb_magic = 0xBEEFC0DE;
constexpr std::uint32_t lmdb_data_version = 1;
constexpr std::uint64_t invalid_page = ~std::uint64_t{0};  // root of an empty tree
constexpr std::size_t page_header_bytes = 16;
constexpr std::size_t node_header_bytes = 8;
constexpr std::size_t tree_bytes = 48;  // MDB_db
constexpr int max_tree_depth = 32;      // CURSOR_STACK

constexpr std::uint16_t flag_branch = 0x01;
constexpr std::uint16_t flag_leaf = 0x02;
constexpr std::uint16_t flag_overflow = 0x04;
constexpr std::uint16_t flag_meta = 0x08;
constexpr std::uint16_t node_big_value = 0x01;
constexpr std::uint16_t node_subtree = 0x02;

template <typename Number>
Number number_at(const std::vector<unsigned char>& bytes, std::size_t offset) {
    Number number{};
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

struct Tree {
    std::uint16_t flags = 0;
    std::uint64_t root = invalid_page;
};

Tree tree_at(const std::vector<unsigned char>& bytes, std::size_t offset) {
    return {number_at<std::uint16_t>(bytes, offset + 4),
            number_at<std::uint64_t>(bytes, offset + 40)};
}

struct Meta {
    std::uint32_t page_bytes = 0;
    std::uint64_t map_bytes = 0;
    std::uint64_t last_page = 0;
    std::uint64_t transaction = 0;
    Tree free_pages;
    Tree main;
};

class FileCheck {
  public:
    explicit FileCheck(std::filesystem::path file) : file_(std::move(file)) {}

    Result<LmdbFileFacts> header() {
        descriptor_ = Descriptor(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!descriptor_)
            return tl::make_unexpected(errno_error(errno, fmt::format("open {}", file_.string())));
        struct stat status{};
        if (::fstat(descriptor_.get(), &status) != 0)
            return tl::make_unexpected(errno_error(errno, fmt::format("stat {}", file_.string())));
        if (!S_ISREG(status.st_mode)) return damaged("expected a regular file");
        LmdbFileFacts facts{status.st_dev, status.st_ino,
                            static_cast<std::uint64_t>(status.st_size), 0};
        if (facts.size == 0) return facts;
        if (auto read = read_metas(facts.size); !read) return tl::make_unexpected(read.error());
        facts.used = (meta_.last_page + 1) * meta_.page_bytes;
        return facts;
    }

    Result<void> pages() {
        state_.assign(meta_.last_page + 1, Use::unknown);
        state_[0] = state_[1] = Use::reached;
        if (auto walked = walk(meta_.free_pages, true, 0); !walked) return walked;
        return walk(meta_.main, false, 0);
    }

  private:
    enum class Use : unsigned char { unknown, reached, free };

    tl::unexpected<Error> damaged(std::string_view found) const {
        return fail(ErrorCode::corrupt, fmt::format("{}: {}", file_.string(), found));
    }

    Result<std::vector<unsigned char>> read_at(std::uint64_t offset, std::size_t size) const {
        std::vector<unsigned char> bytes(size);
        std::size_t have = 0;
        while (have < size) {
            const auto got = ::pread(descriptor_.get(), bytes.data() + have, size - have,
                                     static_cast<off_t>(offset + have));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0)
                return tl::make_unexpected(
                    errno_error(errno, fmt::format("read {}", file_.string())));
            if (got == 0) return damaged(fmt::format("ends before byte {}", offset + size));
            have += static_cast<std::size_t>(got);
        }
        return bytes;
    }

    Result<Meta> read_meta(std::uint64_t offset) const {
        const auto bytes = read_at(offset, 256);
        if (!bytes) return tl::make_unexpected(bytes.error());
        constexpr std::size_t at = page_header_bytes;
        if ((number_at<std::uint16_t>(*bytes, 10) & flag_meta) == 0 ||
            number_at<std::uint32_t>(*bytes, at) != lmdb_magic)
            return damaged("not an LMDB data file");
        const auto version = number_at<std::uint32_t>(*bytes, at + 4);
        if (version != lmdb_data_version)
            return damaged(
                fmt::format("expected LMDB data format {}, found {}", lmdb_data_version, version));
        Meta meta;
        meta.map_bytes = number_at<std::uint64_t>(*bytes, at + 16);
        meta.page_bytes = number_at<std::uint32_t>(*bytes, at + 24);
        meta.free_pages = tree_at(*bytes, at + 24);
        meta.main = tree_at(*bytes, at + 24 + tree_bytes);
        meta.last_page = number_at<std::uint64_t>(*bytes, at + 120);
        meta.transaction = number_at<std::uint64_t>(*bytes, at + 128);
        return meta;
    }

    Result<void> read_metas(std::uint64_t size) {
        const auto first = read_meta(0);
        if (!first) return tl::make_unexpected(first.error());
        const auto page = first->page_bytes;
        if (page < 512 || page > 65536 || (page & (page - 1)) != 0)
            return damaged(fmt::format("page size {}", page));
        const auto second = read_meta(page);
        if (!second) return tl::make_unexpected(second.error());
        if (second->page_bytes != page) return damaged("two header pages that disagree");

        meta_ = first->transaction >= second->transaction ? *first : *second;
        // The writer extends the file to its full (sparse) size at once, so one that ends before
        // its last page was cut.
        if (meta_.last_page < 1 || meta_.last_page >= size / page)
            return damaged(fmt::format("expected {} pages of {} bytes, found a file of {} bytes",
                                       meta_.last_page + 1, page, size));
        if (meta_.map_bytes / page <= meta_.last_page || meta_.map_bytes > std::uint64_t{1} << 44)
            return damaged(fmt::format("map size {}", meta_.map_bytes));
        for (const auto root : {meta_.free_pages.root, meta_.main.root})
            if (root != invalid_page && (root < 2 || root > meta_.last_page))
                return damaged(fmt::format("root page {} of {}", root, meta_.last_page + 1));
        return {};
    }

    Result<void> reach(std::uint64_t page, std::uint64_t count, Use use) {
        if (page < 2 || page > meta_.last_page || count > meta_.last_page + 1 - page)
            return damaged(fmt::format("a reference to page {} of {}", page, meta_.last_page + 1));
        for (auto each = page; each < page + count; ++each) {
            if (state_[each] != Use::unknown)
                return damaged(fmt::format("page {} is in use twice", each));
            state_[each] = use;
        }
        return {};
    }

    Result<void> walk(const Tree& tree, bool free_list, int depth) {
        if (tree.root == invalid_page) return {};
        return walk_page(tree.root, free_list, depth);
    }

    Result<void> walk_page(std::uint64_t page, bool free_list, int depth) {
        if (depth > max_tree_depth) return damaged("a tree without end");
        if (auto ok = reach(page, 1, Use::reached); !ok) return ok;
        const auto bytes = read_at(page * meta_.page_bytes, meta_.page_bytes);
        if (!bytes) return tl::make_unexpected(bytes.error());
        const auto flags = number_at<std::uint16_t>(*bytes, 10);
        const std::size_t lower = number_at<std::uint16_t>(*bytes, 12);
        const std::size_t upper = number_at<std::uint16_t>(*bytes, 14);
        if (number_at<std::uint64_t>(*bytes, 0) != page ||
            (flags != flag_branch && flags != flag_leaf) || lower < page_header_bytes ||
            lower > upper || upper > meta_.page_bytes || lower % 2 != 0)
            return damaged(fmt::format("page {} is not what its place asks for", page));
        for (auto slot = page_header_bytes; slot < lower; slot += 2) {
            const std::size_t node = number_at<std::uint16_t>(*bytes, slot);
            if (node < upper || node + node_header_bytes > meta_.page_bytes)
                return damaged(fmt::format("page {} has an entry outside itself", page));
            auto ok = flags == flag_branch ? walk_branch(*bytes, node, free_list, depth)
                                           : check_leaf(*bytes, node, free_list, depth);
            if (!ok) return ok;
        }
        return {};
    }

    Result<void> walk_branch(const std::vector<unsigned char>& bytes, std::size_t node,
                             bool free_list, int depth) {
        const std::uint64_t key_bytes = number_at<std::uint16_t>(bytes, node + 6);
        if (node + node_header_bytes + key_bytes > bytes.size())
            return damaged("a key that leaves its page");
        const auto child = std::uint64_t{number_at<std::uint32_t>(bytes, node)} |
                           std::uint64_t{number_at<std::uint16_t>(bytes, node + 4)} << 32;
        return walk_page(child, free_list, depth + 1);
    }

    Result<void> check_leaf(const std::vector<unsigned char>& bytes, std::size_t node,
                            bool free_list, int depth) {
        const std::uint64_t value_bytes = number_at<std::uint32_t>(bytes, node);
        const auto flags = number_at<std::uint16_t>(bytes, node + 4);
        const std::size_t value =
            node + node_header_bytes + number_at<std::uint16_t>(bytes, node + 6);
        const std::uint64_t here = (flags & node_big_value) != 0 ? 8 : value_bytes;
        if (value + here > bytes.size()) return damaged("a value that leaves its page");
        if ((flags & ~(node_big_value | node_subtree)) != 0 ||
            (flags == (node_big_value | node_subtree)))
            return damaged("a kind of entry that is never written here");
        if ((flags & node_big_value) != 0)
            return check_big(number_at<std::uint64_t>(bytes, value), value_bytes, free_list);
        if ((flags & node_subtree) != 0) {
            if (value_bytes != tree_bytes || free_list) return damaged("a broken named database");
            const auto tree = tree_at(bytes, value);
            if (tree.flags != 0) return damaged("a named database that is not ours");
            return walk(tree, false, depth + 1);
        }
        if (free_list)
            return check_free({bytes.begin() + static_cast<std::ptrdiff_t>(value),
                               bytes.begin() + static_cast<std::ptrdiff_t>(value + here)});
        return {};
    }

    Result<void> check_big(std::uint64_t page, std::uint64_t value_bytes, bool free_list) {
        const auto count =
            (page_header_bytes + value_bytes + meta_.page_bytes - 1) / meta_.page_bytes;
        if (auto ok = reach(page, count, Use::reached); !ok) return ok;
        const auto head = read_at(page * meta_.page_bytes, page_header_bytes);
        if (!head) return tl::make_unexpected(head.error());
        if (number_at<std::uint64_t>(*head, 0) != page ||
            number_at<std::uint16_t>(*head, 10) != flag_overflow ||
            number_at<std::uint32_t>(*head, 12) != count)
            return damaged(fmt::format("page {} is not what its place asks for", page));
        if (!free_list) return {};
        const auto list = read_at(page * meta_.page_bytes + page_header_bytes, value_bytes);
        if (!list) return tl::make_unexpected(list.error());
        return check_free(*list);
    }

    // A list of page numbers: how many, then each. LMDB writes over these pages.
    Result<void> check_free(const std::vector<unsigned char>& list) {
        if (list.size() < 8) return damaged("a broken list of free pages");
        const auto count = number_at<std::uint64_t>(list, 0);
        if (count > list.size() / 8 - 1) return damaged("a broken list of free pages");
        for (std::uint64_t i = 1; i <= count; ++i)
            if (auto ok = reach(number_at<std::uint64_t>(list, i * 8), 1, Use::free); !ok)
                return ok;
        return {};
    }

    std::filesystem::path file_;
    Descriptor descriptor_;
    Meta meta_;
    std::vector<Use> state_;
};

}  // namespace

Result<LmdbFileFacts> check_lmdb_header(const std::filesystem::path& file) {
    return FileCheck(file).header();
}

Result<LmdbFileFacts> check_lmdb_pages(const std::filesystem::path& file) {
    FileCheck check(file);
    auto facts = check.header();
    if (!facts || facts->size == 0) return facts;
    if (auto pages = check.pages(); !pages) return tl::make_unexpected(pages.error());
    return facts;
}

}  // namespace postfathom
