# One place for compiler settings, so that every target is built alike.

add_library(postfathom_settings INTERFACE)
target_include_directories(postfathom_settings INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(postfathom_settings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Wnon-virtual-dtor
  -fstack-protector-strong
  # g++ 12 sees overlaps in std::string that are not there (GCC bug 105651).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  # g++ pairs the operator new of a coroutine frame, which it inlined, with an operator delete that it did not (GCC bug
  # 103993); the sanitizers see real ones.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>
  # Files that are compiled together are no headers, whose anonymous namespaces would be suspect.
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<BOOL:${CMAKE_UNITY_BUILD}>>:-Wno-subobject-linkage>
  $<$<BOOL:${POSTFATHOM_WERROR}>:-Werror>)
# Boost's own assertions are off in every build, as they are with NDEBUG: not all of Beast's hold for what a peer may send
# (basic_parser.ipp, "n >= 5": a last chunk that comes in pieces), and no peer is to end us.
target_compile_definitions(postfathom_settings INTERFACE
  POSTFATHOM_VERSION="${PROJECT_VERSION}" _GLIBCXX_ASSERTIONS BOOST_ASIO_NO_DEPRECATED BOOST_DISABLE_ASSERTS)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
  target_compile_options(postfathom_settings INTERFACE -fcf-protection -fstack-clash-protection)
endif()
# _FORTIFY_SOURCE needs optimisation, and sanitizers bring their own checks.
if(NOT CMAKE_CXX_FLAGS MATCHES "fsanitize")
  target_compile_definitions(postfathom_settings INTERFACE $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
endif()
target_link_options(postfathom_settings INTERFACE -Wl,-z,relro,-z,now)

# Half of a compilation is reading headers that are not ours. Read once, for every target, these need the same definitions
# everywhere, and what they refer to; the build of the packages sees each file with its own includes alone.
set(postfathom_precompiled_libraries postfathom_asio fmt::fmt tl::expected Boost::json)
# postfathom_headers(postfathom_headers [ALSO <doctest/doctest.h>])
function(postfathom_headers name)
  cmake_parse_arguments(arg "" "" "ALSO" ${ARGN})
  if(POSTFATHOM_PRECOMPILE)
    file(WRITE ${CMAKE_BINARY_DIR}/${name}.cpp "")
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cpp)
    target_link_libraries(${name} PRIVATE postfathom_settings ${postfathom_precompiled_libraries})
    target_precompile_headers(${name} PRIVATE
      <algorithm> <array> <chrono> <fstream> <functional> <map> <memory> <optional> <set> <string> <string_view>
      <unordered_map> <utility> <variant> <vector>
      <fmt/format.h> <tl/expected.hpp>
      <boost/json/array.hpp> <boost/json/object.hpp> <boost/json/parse.hpp> <boost/json/serialize.hpp> <boost/json/value.hpp>
      <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/generic/stream_protocol.hpp>
      <boost/asio/io_context.hpp> <boost/asio/posix/stream_descriptor.hpp> <boost/asio/steady_timer.hpp> ${arg_ALSO})
  endif()
endfunction()
postfathom_headers(postfathom_headers)
# HEADERS: what postfathom_headers() was called with
function(postfathom_precompiled target headers)
  if(POSTFATHOM_PRECOMPILE)
    target_link_libraries(${target} PRIVATE ${postfathom_precompiled_libraries})
    target_precompile_headers(${target} REUSE_FROM ${headers})
    # Programs would be compiled with -fPIE, and these headers have -fPIC.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

# postfathom_library(base SOURCES result.cpp ... LINKS fmt::fmt ...)
function(postfathom_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_library(postfathom_${name} STATIC ${arg_SOURCES})
  target_link_libraries(postfathom_${name} PUBLIC postfathom_settings ${arg_LINKS})
  postfathom_precompiled(postfathom_${name} postfathom_headers)
endfunction()

# postfathom_program(postfathom-policyd DESTINATION sbin SOURCES ... LINKS ...)
function(postfathom_program name)
  cmake_parse_arguments(arg "" "DESTINATION" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE postfathom_settings ${arg_LINKS})
  postfathom_precompiled(${name} postfathom_headers)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  install(TARGETS ${name} RUNTIME DESTINATION ${arg_DESTINATION})
endfunction()

# postfathom_doctest(NAME unit_base LABEL unit SOURCES ... [ALONE ...] LINKS ...): the TEST_CASEs of a file are one ctest test: to start
# a program for each takes longer, under the sanitizers, than most of them.
# ALONE: those of the sources that are never compiled together with others, since they use the same names for other things.
function(postfathom_doctest)
  cmake_parse_arguments(arg "" "NAME;LABEL" "SOURCES;ALONE;LINKS" ${ARGN})
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE postfathom_settings postfathom_doctest_main ${arg_LINKS})
  target_compile_definitions(${arg_NAME} PRIVATE POSTFATHOM_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_source_files_properties(${arg_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  # Tests gain nothing from more, and g++ 12 takes members of temporaries for uninitialised with it.
  target_compile_options(${arg_NAME} PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Debug>:-O0>
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-maybe-uninitialized>)
  postfathom_precompiled(${arg_NAME} postfathom_test_headers)
  foreach(file IN LISTS arg_SOURCES)
    get_filename_component(file ${file} NAME)
    if(file MATCHES "(.*)_test\\.cpp$")
      set(test "${arg_NAME}: ${CMAKE_MATCH_1}")
      add_test(NAME ${test} COMMAND ${arg_NAME} "-sf=*/${file}")
      # A file whose cases are not found would pass.
      set_tests_properties(${test} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT 300 FAIL_REGULAR_EXPRESSION "test cases: +0 ")
    endif()
  endforeach()
endfunction()
