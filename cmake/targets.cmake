# Two functions, so that every folder's CMakeLists.txt says only what it is made of.

# uhd_library(NAME FILES... LINK libraries...): one library per folder; its LINK line is its row in docs/architecture.md.
function(uhd_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  uhd_options(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# Build every program with the label unit, and with the label cuda.
add_custom_target(unit_tests)
add_custom_target(cuda_tests)

# uhd_test(NAME FILES... LINK libraries... [LABELS labels...] [TIMEOUT seconds]): a GoogleTest program; each test is a
# ctest entry of its own.
function(uhd_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LINK;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  uhd_join_files(${name})
  uhd_options(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  if(NOT UHD_CUDA STREQUAL off)  # the plugin is found and finds the program's symbols: kernels/plugin.h
    # Without a definition of its own, so that it compiles as it does without a plugin, and a compiler's cache knows it.
    set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON DEFINE_SYMBOL "" BUILD_RPATH ${PROJECT_BINARY_DIR})
    if(UHD_SANITIZE)  # its own dlopen does not see the program's RUNPATH; an RPATH holds for every library
      target_link_options(${name} PRIVATE -Wl,--disable-new-dtags)
    endif()
  endif()
  foreach(label unit cuda)
    if(${label} IN_LIST ARG_LABELS)
      add_dependencies(${label}_tests ${name})
    endif()
  endforeach()
endfunction()

# Folders whose code does little work in tests. Sanitized builds do not optimize it, which halves the time to compile it:
# the optimizer spends most of its time on the checks. Kernels, the model and the emulation stay optimized.
set(uhd_light_tests "^tests/(app|base|cluster|configs|engine|fuzz|model|net|plan)$")
set(uhd_light_folders "^(app|cluster|configs|engine|net|plan)$")

# Folders of parsers and what they stand on: with AddressSanitizer they are built for libFuzzer too, which follows where
# an input leads. The sanitizer's own programs run with that a little slower, and nothing is compiled twice.
set(uhd_fuzzed_folders "^(base|cluster|configs|model|net|tests/fuzz)$")
if(UHD_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID MATCHES Clang)
  set(uhd_asan_by_clang ON)
endif()

# Folders whose files use the same names for different things, and gain little: a program there is of one or two files.
set(uhd_single_folders "^(emulation|tests/cuda)$")

# Folders whose files are compiled six as one. To change one file again and again, CMAKE_UNITY_BUILD=OFF is quicker.
set(uhd_joined_folders "^(app|cluster|configs|engine|model|net|plan)(/|$)")

# Six files are compiled as one, which takes half of the time. Then types without a name beyond their file are members in
# what g++ takes for a header.
function(uhd_join_files target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()

function(uhd_options target)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT DEFINED CMAKE_UNITY_BUILD AND folder MATCHES ${uhd_joined_folders})
    uhd_join_files(${target})
  endif()
  if(folder MATCHES ${uhd_single_folders})
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
  endif()
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wno-missing-field-initializers -Werror)
  # Messages name places in the sources: from the project's root, wherever it was built. A compiler's cache may call it by
  # a relative path.
  file(RELATIVE_PATH root ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR}/)
  target_compile_options(${target} PRIVATE -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/= -fmacro-prefix-map=${root}=)
  if(UHD_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${UHD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
      -w)  # instrumented code makes compilers see what is not there; the release build holds to its warnings
    target_link_options(${target} PUBLIC -fsanitize=${UHD_SANITIZE})
    target_compile_definitions(${target} PRIVATE UHD_SANITIZED)
    if(UHD_SANITIZE MATCHES address)
      target_compile_definitions(${target} PRIVATE UHD_ADDRESS_SANITIZED)
    endif()
    if(uhd_asan_by_clang AND folder MATCHES ${uhd_fuzzed_folders})
      target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
    if(folder MATCHES ${uhd_light_folders} OR folder MATCHES ${uhd_light_tests})
      target_compile_options(${target} PRIVATE -O0)
    endif()
  elseif(folder MATCHES ${uhd_light_tests} OR folder STREQUAL tests/cuda)
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

# uhd_mpi_test(NAME RANKS n COMMAND target args...): a ctest entry that runs a program under mpirun. Unbound and
# oversubscribed, so that it also runs on machines with fewer cores; the environment lets root run it, as in
# containers, and quietens leak reports of the MPI library itself.
function(uhd_mpi_test name)
  cmake_parse_arguments(ARG "" "RANKS" "COMMAND" ${ARGN})
  list(POP_FRONT ARG_COMMAND program)
  add_test(NAME ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    COMMAND ${MPIEXEC_EXECUTABLE} --bind-to none --oversubscribe --timeout 240 -n ${ARG_RANKS}
            $<TARGET_FILE:${program}> ${ARG_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS "unit;mpi" TIMEOUT 300 PROCESSORS 2
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;PRTE_ALLOW_RUN_AS_ROOT=1;PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1;ASAN_OPTIONS=detect_leaks=0")
endfunction()

# uhd_digest(OUT SEED headers...): a digest of the seed, of these headers and of all that they include, by which a program
# and its plugin know that they were built from the same ones. Paths are from the root. A change of a header configures anew.
function(uhd_digest out seed)
  set(headers ${ARGN})
  set(digests "${seed}")
  list(POP_FRONT headers header)
  while(header)
    list(APPEND seen ${header})
    set(path ${PROJECT_SOURCE_DIR}/${header})
    file(SHA256 ${path} digest)
    string(APPEND digests ${digest})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(STRINGS ${path} includes REGEX "^#include \"")
    list(TRANSFORM includes REPLACE "^#include \"([^\"]*)\".*" "\\1")
    list(APPEND headers ${includes})
    list(REMOVE_DUPLICATES headers)
    list(REMOVE_ITEM headers ${seen})
    list(POP_FRONT headers header)
  endwhile()
  string(SHA256 digests "${digests}")
  string(SUBSTRING ${digests} 0 16 digests)
  set(${out} ${digests} PARENT_SCOPE)
endfunction()
