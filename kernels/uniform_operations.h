// The base of a backend that treats all operations alike: one that queues them, one that leaves them out.
#pragma once

#include "kernels/operations.h"

namespace uhd {

// Derived::each(operation) performs every operation; an overload for one of them goes before a template for
// the others. Derived befriends this class where each() is private.
template <class Derived, class Base>
class UniformOperations : public Base {
 private:
#define UHD_PERFORM(Name) \
  void perform(const ops::Name& operation) final { static_cast<Derived*>(this)->each(operation); }
  UHD_OPERATIONS(UHD_PERFORM)
#undef UHD_PERFORM
};

}  // namespace uhd
