// Who holds which KV page, counted. Storage lives elsewhere (KvCache on every LLM rank); here is only the
// book.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace uhd {

class PagePool;

// One hold on one page; gives it back when destroyed. Move-only; must not outlive its pool.
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
  // A second hold on the same page: for readers of a page that is full.
  PageRef share() const;

 private:
  friend class PagePool;
  PageRef(PagePool& pool, int32_t page) : pool_(&pool), page_(page) {}

  PagePool* pool_ = nullptr;
  int32_t page_ = -1;
};

// Not thread-safe; belongs to the scheduler. Pages are numbered 0 .. total()-1.
class PagePool {
 public:
  explicit PagePool(int pages);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  int total() const { return static_cast<int>(holders_.size()); }
  int free() const { return static_cast<int>(free_.size()); }
  int holders(int32_t page) const { return holders_[static_cast<size_t>(page)]; }
  // The caller asks free() first: none left is a broken invariant.
  PageRef take();

  // Throws unless every page is either free once or held, and no count is negative.
  void check_integrity() const;

 private:
  friend class PageRef;
  void release(int32_t page) noexcept;

  std::vector<int32_t> free_;     // used as a stack, so that warm pages are used again first
  std::vector<int32_t> holders_;  // per page
};

}  // namespace uhd
