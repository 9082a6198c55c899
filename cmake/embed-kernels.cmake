# Writes kernel files as one C file that defines tt_kernel_sources (cl-kernels/kernel-source.h).
#   cmake -DOUTPUT=kernel-sources.c -DFILES=a.cl;b.clh -P embed-kernels.cmake
# Character arrays, not string literals: C11 promises only 4095 characters of a literal.

list(SORT FILES)
set(arrays "")
set(table "")
set(count 0)

foreach(file IN LISTS FILES)
    get_filename_component(name "${file}" NAME)
    file(READ "${file}" hex HEX)
    string(LENGTH "${hex}" n_digits)
    math(EXPR n_bytes "${n_digits} / 2")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," chars "${hex}")
    # A line break after every source line keeps the generated file readable by tools.
    string(REPLACE "'\\x0a'," "'\\x0a',\n    " chars "${chars}")
    string(APPEND arrays "/* ${name} */\nstatic const char source_${count}[] = {\n    ${chars}'\\0'};\n\n")
    string(APPEND table "    {\"${name}\", source_${count}, ${n_bytes}},\n")
    math(EXPR count "${count} + 1")
endforeach()

if(count EQUAL 0) # C has no empty arrays
    set(table "    {\"\", \"\", 0},\n")
endif()

file(WRITE "${OUTPUT}.new"
    "/* Made by cmake/embed-kernels.cmake; changes here are lost. */\n"
    "#include \"cl-kernels/kernel-source.h\"\n\n"
    "${arrays}"
    "const tt_kernel_source tt_kernel_sources[] = {\n${table}};\n"
    "const size_t tt_n_kernel_sources = ${count};\n")
file(RENAME "${OUTPUT}.new" "${OUTPUT}")
