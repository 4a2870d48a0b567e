// Counts who holds which KV page, and what lies in those that nobody holds. Storage lives elsewhere
// (KvCache on every LLM rank); here is only the book.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace uhd {

class PagePool;

// A PageRef is one hold on one page and gives it back when destroyed. It is move-only and must not outlive
// its pool.
class PageRef {
 public:
  PageRef() = default;
  PageRef(PageRef&& o) noexcept : pool_(std::exchange(o.pool_, nullptr)), page_(std::exchange(o.page_, -1)) {}
  PageRef& operator=(PageRef&& o) noexcept {
    std::swap(pool_, o.pool_);
    std::swap(page_, o.page_);
    return *this;
  }
  ~PageRef();

  int32_t page() const { return page_; }

 private:
  friend class PagePool;
  PageRef(PagePool& pool, int32_t page) : pool_(&pool), page_(page) {}

  PagePool* pool_ = nullptr;
  int32_t page_ = -1;
};

// Not thread-safe; belongs to the scheduler. Pages are numbered 0 .. total()-1.
//
// A page that is full may get a name, after which nobody writes to it: whoever knows the name may read it.
// When nobody holds it, it stays as it is until it is needed for something else: pages without a name are
// taken first, then named ones, those first that were let go first.
class PagePool {
 public:
  explicit PagePool(int pages);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  int total() const { return static_cast<int>(pages_.size()); }
  // Pages that nobody holds.
  int free() const { return static_cast<int>(blank_.size()) + idle_; }
  int holders(int32_t page) const { return at(page).holders; }
  bool is_named(int32_t page) const { return at(page).name.has_value(); }
  int named() const { return static_cast<int>(names_.size()); }
  int64_t evictions() const { return evictions_; }  // evictions of named pages so far

  // The caller asks free() first: none left is a broken invariant.
  PageRef take();
  // Names a page that is full; without effect where it has a name, or another page has this one.
  void name(const PageRef& page, const Fingerprint& name);
  // A hold on the page of this name; nothing when there is none.
  std::optional<PageRef> find(const Fingerprint& name);
  // Says whether find() would find one. It is no use of the page.
  bool contains(const Fingerprint& name) const { return names_.contains(name); }

  // Throws unless every page is either free once or held, and names and pages agree.
  void check_integrity() const;

 private:
  friend class PageRef;
  static constexpr int32_t kNone = -1;
  struct Page {
    int32_t holders = 0;
    std::optional<Fingerprint> name;
    int32_t before = kNone;  // neighbours in the list of named pages that nobody holds
    int32_t after = kNone;
  };
  Page& at(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  const Page& at(int32_t page) const { return pages_[static_cast<size_t>(page)]; }
  void release(int32_t page) noexcept;
  void push_idle(int32_t page) noexcept;
  void remove_idle(int32_t page) noexcept;

  std::vector<Page> pages_;
  std::vector<int32_t> blank_;  // used as a stack, so that warm pages are used again first
  std::unordered_map<Fingerprint, int32_t> names_;
  int32_t oldest_ = kNone;  // ends of the list of named pages that nobody holds
  int32_t newest_ = kNone;
  int idle_ = 0;  // their number
  int64_t evictions_ = 0;
};

}  // namespace uhd
